package op

import "fmt"

var opFlatten = &Def{
	Name: "Flatten",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | axis:int=1 | T: fp`},
		{Since: 9, Schema: `input:T -> output:T | axis:int=1 | T: all`},
		{Since: 11, Schema: `input:T -> output:T | axis:int=1 | T: all`},
		{Since: 13, Schema: `input:T -> output:T | axis:int=1 | T: all bfloat16`},
		{Since: 21, Schema: `input:T -> output:T | axis:int=1 | T: all f8 i4 bfloat16`},
		{Since: 23, Schema: `input:T -> output:T | axis:int=1 | T: all f8 i4 bfloat16 float4e2m1`},
		{Since: 24, Schema: `input:T -> output:T | axis:int=1 | T: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `input:T -> output:T | axis:int=1 | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferFlatten,
	Eval:  evalFlatten,
}

func inferFlatten(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		f.Set(0, Unknowns(2)...)
		return nil
	}
	axis, err := flattenAxis(f.Int("axis"), len(s))
	if err != nil {
		return err
	}
	f.Set(0, product(s[:axis]), product(s[axis:]))
	return nil
}

func flattenAxis(axis, rank int) (int, error) {
	if axis < 0 {
		axis += rank
	}
	if axis < 0 || axis > rank {
		return 0, fmt.Errorf("axis %d of rank %d", axis, rank)
	}
	return axis, nil
}

func evalFlatten(e *Eval) error {
	x := e.Tensor(0)
	axis, err := flattenAxis(e.Int("axis"), x.Rank())
	if err != nil {
		return err
	}
	e.Set(0, x.Reshaped(volume(x.Shape[:axis]), volume(x.Shape[axis:])))
	return nil
}

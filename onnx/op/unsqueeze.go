package op

import "onnxopt/onnx/dim"

var opUnsqueeze = &Def{
	Name: "Unsqueeze",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> expanded:T | axes:ints! | T: all`},
		{Since: 11, Schema: `data:T -> expanded:T | axes:ints! | T: all`},
		{Since: 13, Schema: `data:T axes:int64 -> expanded:T |  | T: all bfloat16`},
		{Since: 21, Schema: `data:T axes:int64 -> expanded:T |  | T: all f8 i4 bfloat16`},
		{Since: 23, Schema: `data:T axes:int64 -> expanded:T |  | T: all f8 i4 bfloat16 float4e2m1`},
		{Since: 24, Schema: `data:T axes:int64 -> expanded:T |  | T: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `data:T axes:int64 -> expanded:T |  | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferUnsqueeze,
	Eval:  evalUnsqueeze,
}

func inferUnsqueeze(f *Infer) error {
	s, ok := f.Shape(0)
	axes, _, known := f.axesParam(13)
	if !ok || !known {
		return nil
	}
	add, err := axisSet(axes, len(s)+len(axes))
	if err != nil {
		return err
	}
	var out []dim.Dim
	for _, one := range add {
		if one {
			out = append(out, dim.Of(1))
		} else {
			out, s = append(out, s[0]), s[1:]
		}
	}
	f.Set(0, out...)
	f.passData()
	return nil
}

func evalUnsqueeze(e *Eval) error {
	x := e.Tensor(0)
	axes, _, err := e.axesParam(13)
	if err != nil {
		return err
	}
	add, err := axisSet(axes, x.Rank()+len(axes))
	if err != nil {
		return err
	}
	var shape []int
	rest := x.Shape
	for _, one := range add {
		if one {
			shape = append(shape, 1)
		} else {
			shape, rest = append(shape, rest[0]), rest[1:]
		}
	}
	e.Set(0, x.Reshaped(shape...))
	return nil
}

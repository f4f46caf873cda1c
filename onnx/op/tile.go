package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opTile = &Def{
	Name: "Tile",
	Versions: []Version{
		{Since: 1, Schema: `input:T tiles:T axis:T -> output:T |  | T: fp; T1: int64`},
		{Since: 6, Schema: `input:T repeats:T1 -> output:T |  | T: all; T1: int64`},
		{Since: 13, Schema: `input:T repeats:T1 -> output:T |  | T: all bfloat16; T1: int64`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferTile,
	Eval:  evalTile,
}

func inferTile(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok || f.Since < 6 {
		return nil
	}
	d, ok := f.InData(1)
	if !ok {
		f.Set(0, Unknowns(len(s))...)
		return nil
	}
	if len(d) != len(s) {
		return fmt.Errorf("%d repeats for rank %d", len(d), len(s))
	}
	out := make([]dim.Dim, len(s))
	for i := range s {
		out[i] = s[i].Mul(d[i])
	}
	f.Set(0, out...)
	return nil
}

func evalTile(e *Eval) error {
	x := e.Tensor(0)
	repeats, err := intsOf(e.Tensor(1))
	if e.Since < 6 { // inputs: tiles, axis
		axis := int(e.Tensor(2).Floats()[0])
		n := int(e.Tensor(1).Floats()[0])
		if axis < 0 || axis >= x.Rank() {
			return fmt.Errorf("axis %d of %v", axis, x)
		}
		repeats, err = ones(x.Rank()), nil
		repeats[axis] = n
	}
	if err != nil || len(repeats) != x.Rank() {
		return fmt.Errorf("repeats %v for %v", repeats, x)
	}
	shape := make([]int, x.Rank())
	for i := range shape {
		shape[i] = x.Shape[i] * repeats[i]
	}
	own, pos := tensor.Strides(x.Shape), make([]int, x.Rank())
	out, err := tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int {
		unravel(i, shape, pos)
		at := 0
		for d, p := range pos {
			at += p % x.Shape[d] * own[d]
		}
		return at
	})
	e.Set(0, out)
	return err
}

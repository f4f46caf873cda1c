package op

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opNonZero = &Def{
	Name: "NonZero",
	Versions: []Version{
		{Since: 9, Schema: `X:T -> Y:int64 |  | T: all`},
		{Since: 13, Schema: `X:T -> Y:int64 |  | T: all bfloat16`},
	},
	Check: Exact,
	Infer: inferNonZero,
	Eval:  evalNonZero,
}

func inferNonZero(f *Infer) error {
	rank := dim.Unknown
	if s, ok := f.Shape(0); ok {
		rank = dim.Of(int64(max(len(s), 1)))
	}
	f.Set(0, rank, f.Symbol())
	return nil
}

func evalNonZero(e *Eval) error {
	x := e.Tensor(0)
	shape := x.Shape
	if len(shape) == 0 {
		shape = []int{1}
	}
	var at []int
	v := truths(x)
	for i, b := range v {
		if b {
			at = append(at, i)
		}
	}
	out, pos := make([]int64, len(shape)*len(at)), make([]int, len(shape))
	for k, i := range at {
		unravel(i, shape, pos)
		for d, p := range pos {
			out[d*len(at)+k] = int64(p)
		}
	}
	e.Set(0, tensor.Of([]int{len(shape), len(at)}, out))
	return nil
}

// truths tells which elements are not zero.
func truths(x *tensor.Tensor) []bool {
	out := make([]bool, x.Len())
	switch {
	case x.Type == tensor.String:
		for i, s := range x.Strings() {
			out[i] = s != ""
		}
	case x.Type.IsFloat():
		for i, v := range x.Floats() {
			out[i] = v != 0
		}
	case x.Type.IsComplex():
		for i, v := range x.Complexes() {
			out[i] = v != 0
		}
	default:
		for i, v := range x.Ints() {
			out[i] = v != 0
		}
	}
	return out
}

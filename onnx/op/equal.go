package op

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opEqual = &Def{
	Name: "Equal",
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> C:T1 | axis:int broadcast:int=0 | T: bool int32 int64; T1: bool`},
		{Since: 7, Schema: `A:T B:T -> C:T1 |  | T: bool int32 int64; T1: bool`},
		{Since: 11, Schema: `A:T B:T -> C:T1 |  | T: num bool; T1: bool`},
		{Since: 13, Schema: `A:T B:T -> C:T1 |  | T: num bool bfloat16; T1: bool`},
		{Since: 19, Schema: `A:T B:T -> C:T1 |  | T: num bool bfloat16 string; T1: bool`},
	},
	Flags: Elementwise | Commutative,
	Check: Exact,
	Infer: inferEqual,
	Eval:  evalEqual,
}

// inferEqual adds to the shape which elements are known to be equal or not.
func inferEqual(f *Infer) error {
	a, ok := f.InData(0)
	b, ok2 := f.InData(1)
	if ok && ok2 && (len(a) == len(b) || len(a) == 1 || len(b) == 1) {
		f.SetData(0, zipDims(a, b, equalDim))
	}
	return inferBinary(f)
}

// equalDim is 1 if both are equal, 0 if they cannot be, else unknown.
func equalDim(a, b dim.Dim) dim.Dim {
	d := a.Sub(b)
	switch {
	case d.Is(0):
		return dim.Of(1)
	case d.Positive() || b.Sub(a).Positive():
		return dim.Of(0)
	}
	return dim.Unknown
}

func evalEqual(e *Eval) error {
	a, b, shape, err := e.operands()
	if err != nil {
		return err
	}
	var out []bool
	switch {
	case a.Type == tensor.String:
		out = mapPairs(shape, a, b, a.Strings(), b.Strings(), func(x, y string) bool { return x == y })
	case a.Type.IsFloat():
		out = mapPairs(shape, a, b, a.Floats(), b.Floats(), func(x, y float64) bool { return x == y })
	default:
		out = mapPairs(shape, a, b, a.Ints(), b.Ints(), func(x, y int64) bool { return x == y })
	}
	e.Set(0, tensor.FromBools(shape, out))
	return nil
}

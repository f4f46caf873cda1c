package op

import (
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMod = withShapeArithmetic(&Def{
	Name: "Mod",
	Versions: []Version{
		{Since: 10, Schema: `A:T B:T -> C:T | fmod:int=0 | T: num`},
		{Since: 13, Schema: `A:T B:T -> C:T | fmod:int=0 | T: num bfloat16`},
		{Since: 28, Schema: `A:T B:T -> C:T | fmod:int=0 | T: num bfloat16`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: inferBinary,
	Eval:  evalMod,
}, modDim)

// evalMod has the sign of the divisor; with fmod the sign of the dividend.
func evalMod(e *Eval) error {
	a, b, shape, err := e.operands()
	if err != nil {
		return err
	}
	fmod := e.Int("fmod") != 0
	if a.Type.IsFloat() {
		e.Set(0, tensor.FromFloats(a.Type, shape, mapPairs(shape, a, b, a.Floats(), b.Floats(), func(x, y float64) float64 {
			m := math.Mod(x, y)
			if !fmod && m != 0 && (m < 0) != (y < 0) {
				m += y
			}
			return m
		})))
		return nil
	}
	e.Set(0, tensor.FromInts(a.Type, shape, mapPairs(shape, a, b, a.Ints(), b.Ints(), func(x, y int64) int64 {
		if y == 0 {
			panic("integer division by zero")
		}
		if !a.Type.IsSigned() {
			return int64(uint64(x) % uint64(y))
		}
		m := x % y
		if !fmod && m != 0 && (m < 0) != (y < 0) {
			m += y
		}
		return m
	})))
	return nil
}

// modDim is the remainder of two sizes, which both variants agree on where
// neither is negative.
func modDim(a, b dim.Dim) dim.Dim {
	if k, ok := b.Const(); !ok || k <= 0 || !a.NonNegative() {
		return dim.Unknown
	}
	return a.Mod(b)
}

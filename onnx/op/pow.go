package op

import (
	"math"

	"onnxopt/onnx/tensor"
)

var opPow = &Def{
	Name: "Pow",
	Versions: []Version{
		{Since: 1, Schema: `X:T Y:T -> Z:T | axis:int broadcast:int=0 | T: fp`},
		{Since: 7, Schema: `X:T Y:T -> Z:T |  | T: fp`},
		{Since: 12, Schema: `X:T Y:T1 -> Z:T |  | T: fp int32 int64; T1: num`},
		{Since: 13, Schema: `X:T Y:T1 -> Z:T |  | T: fp int32 int64 bfloat16; T1: num`},
		{Since: 15, Schema: `X:T Y:T1 -> Z:T |  | T: fp int32 int64 bfloat16; T1: num bfloat16`},
	},
	Flags: Elementwise,
	Infer: inferBinary,
	Eval:  evalPow,
}

func evalPow(e *Eval) error {
	x, y, shape, err := e.operands()
	if err != nil {
		return err
	}
	if x.Type.IsInt() && y.Type.IsInt() {
		e.Set(0, tensor.FromInts(x.Type, shape, mapPairs(shape, x, y, x.Ints(), y.Ints(), powInt)))
		return nil
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, mapPairs(shape, x, y, x.Floats(), y.Floats(), math.Pow)))
	return nil
}

// powInt is x to the power y, wrapping; negative powers truncate.
func powInt(x, y int64) int64 {
	if y < 0 {
		return truncated(math.Pow(float64(x), float64(y)))
	}
	p := int64(1)
	for ; y > 0; y >>= 1 {
		if y&1 != 0 {
			p *= x
		}
		x *= x
	}
	return p
}

func truncated(x float64) int64 {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return math.MinInt64
	}
	return int64(x)
}

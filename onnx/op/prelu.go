package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opPRelu = &Def{
	Name: "PRelu",
	Versions: []Version{
		{Since: 1, Schema: `X:T slope:T -> Y:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T slope:T -> Y:T |  | T: fp`},
		{Since: 7, Schema: `X:T slope:T -> Y:T |  | T: fp`},
		{Since: 9, Schema: `X:T slope:T -> Y:T |  | T: fp uint32 uint64 int32 int64`},
		{Since: 16, Schema: `X:T slope:T -> Y:T |  | T: fp bfloat16 uint32 uint64 int32 int64`},
	},
	Flags: Elementwise,
	Infer: sameShape,
	Eval:  evalPRelu,
}

func evalPRelu(e *Eval) error {
	x, slope := e.Tensor(0), e.Tensor(1)
	if e.Since < 7 && slope.Rank() == 1 && x.Rank() > 1 { // one slope per channel
		shape := ones(x.Rank() - 1)
		shape[0] = slope.Len()
		slope = slope.Reshaped(shape...)
	}
	shape, err := tensor.Broadcast(x.Shape, slope.Shape)
	if err != nil || !slices.Equal(shape, x.Shape) {
		return fmt.Errorf("slope %v does not broadcast to %v", slope, x)
	}
	if x.Type.IsInt() {
		e.Set(0, tensor.FromInts(x.Type, shape, mapPairs(shape, x, slope, x.Ints(), slope.Ints(), func(v, s int64) int64 {
			if v < 0 && x.Type.IsSigned() {
				return v * s
			}
			return v
		})))
		return nil
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, mapPairs(shape, x, slope, x.Floats(), slope.Floats(), func(v, s float64) float64 {
		if v < 0 {
			return v * s
		}
		return v
	})))
	return nil
}

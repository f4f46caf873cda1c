package op

import (
	"math"

	"onnxopt/onnx/tensor"
)

var opDynamicQuantizeLinear = &Def{
	Name: "DynamicQuantizeLinear",
	Versions: []Version{
		{Since: 11, Schema: `x:T1 -> y:T2 y_scale:float y_zero_point:T2 |  | T1: float; T2: uint8`},
	},
	Infer: inferDynamicQuantizeLinear,
	Eval:  evalDynamicQuantizeLinear,
}

func inferDynamicQuantizeLinear(f *Infer) error {
	f.Set(1)
	f.Set(2)
	return sameShape(f)
}

// evalDynamicQuantizeLinear computes in float32, as the specification's
// function body does.
func evalDynamicQuantizeLinear(e *Eval) error {
	x := e.Tensor(0)
	v := tensor.View[float32](x)
	var lo, hi float32
	for _, a := range v {
		lo, hi = min(lo, a), max(hi, a)
	}
	scale := (hi - lo) / 255
	zero := float32(0)
	if scale != 0 {
		zero = float32(math.RoundToEven(float64(min(max(-lo/scale, 0), 255))))
	}
	out := make([]uint8, len(v))
	for i, a := range v {
		q := float32(0)
		if scale != 0 {
			q = float32(math.RoundToEven(float64(a / scale)))
		}
		out[i] = uint8(min(max(q+zero, 0), 255))
	}
	e.Set(0, tensor.Of(x.Shape, out))
	e.Set(1, tensor.Scalar(scale))
	e.Set(2, tensor.Scalar(uint8(zero)))
	return nil
}

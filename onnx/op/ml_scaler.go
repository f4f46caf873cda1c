package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opMlScaler = &Def{
	Name:   "Scaler",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:float | offset:floats scale:floats | T: float double int64 int32`},
	},
	Infer: sameShape,
	Eval:  evalScaler,
}

// evalScaler is Y = (X - offset) * scale, each of one element or one for every
// feature.
func evalScaler(e *Eval) error {
	x := e.Tensor(0)
	offset, scale := e.Attrs.Floats("offset"), e.Attrs.Floats("scale")
	f := 1
	if r := x.Rank(); r > 0 {
		f = x.Shape[min(r-1, 1)]
	}
	for _, p := range [][]float32{offset, scale} {
		if len(p) != 1 && len(p) != f {
			return fmt.Errorf("%d parameters for %d features", len(p), f)
		}
	}
	v := x.Floats()
	for i := range v {
		k := i % f
		v[i] = (v[i] - float64(offset[min(k, len(offset)-1)])) * float64(scale[min(k, len(scale)-1)])
	}
	e.Set(0, tensor.FromFloats(tensor.Float32, x.Shape, v))
	return nil
}

package op

import (
	"onnxopt/onnx/tensor"
)

var opMlBinarizer = &Def{
	Name:   "Binarizer",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | threshold:float=0 | T: float double int64 int32`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: sameShape,
	Eval:  evalBinarizer,
}

func evalBinarizer(e *Eval) error {
	x := e.Tensor(0)
	v, threshold := x.Floats(), e.Float("threshold")
	for i := range v {
		if v[i] > threshold {
			v[i] = 1
		} else {
			v[i] = 0
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

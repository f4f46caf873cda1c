package op

import "onnxopt/onnx/tensor"

var opNot = &Def{
	Name: "Not",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T |  | T: bool`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: sameShape,
	Eval:  evalNot,
}

func evalNot(e *Eval) error {
	x := e.Tensor(0)
	v := x.Bools()
	for i := range v {
		v[i] = !v[i]
	}
	e.Set(0, tensor.FromBools(x.Shape, v))
	return nil
}

package op

import "onnxopt/onnx/tensor"

var opBitwiseNot = &Def{
	Name: "BitwiseNot",
	Versions: []Version{
		{Since: 18, Schema: `X:T -> Y:T |  | T: int uint`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: sameShape,
	Eval:  evalBitwiseNot,
}

func evalBitwiseNot(e *Eval) error {
	x := e.Tensor(0)
	v := x.Ints()
	for i := range v {
		v[i] = ^v[i]
	}
	e.Set(0, tensor.FromInts(x.Type, x.Shape, v))
	return nil
}

package op

import "onnxopt/onnx/tensor"

var opMsDynamicQuantizeMatMul = &Def{
	Name:   "DynamicQuantizeMatMul",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T1 B:T2 b_scale:T1 b_zero_point?:T2 bias?:T1 -> Y:T1 | | T1: float; T2: int8 uint8`},
	},
	Check: Loose,
	Infer: inferMatMul,
	Eval:  evalDynamicQuantizeMatMul,
}

// evalDynamicQuantizeMatMul quantizes A as DynamicQuantizeLinear does.
func evalDynamicQuantizeMatMul(e *Eval) error {
	q := &Eval{Attrs: e.Attrs, Resolved: e.Resolved, In: e.In[:1], Out: make([]tensor.Value, 3), Env: e.Env}
	if err := evalDynamicQuantizeLinear(q); err != nil {
		return err
	}
	a := q.Out[0].(*tensor.Tensor)
	return e.scaledMatMul(a, e.Tensor(1), q.Out[1].(*tensor.Tensor), e.Tensor(2), q.Out[2].(*tensor.Tensor), e.Tensor(3), e.Tensor(4))
}

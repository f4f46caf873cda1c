package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opBernoulli = &Def{
	Name: "Bernoulli",
	Versions: []Version{
		{Since: 15, Schema: `input:T1 -> output:T2 | dtype:int seed:float | T1: fp; T2: num bfloat16 bool`},
		{Since: 22, Schema: `input:T1 -> output:T2 | dtype:int seed:float | T1: fp bfloat16; T2: num bfloat16 bool`},
	},
	Flags: Random,
	Infer: inferLike,
	Eval:  evalBernoulli,
}

// evalBernoulli is 1 with the probability that the input has, else 0.
func evalBernoulli(e *Eval) error {
	x := e.Tensor(0)
	t, err := e.typeLike(x)
	if err != nil {
		return err
	}
	if !t.IsFloat() && !t.IsInt() && t != tensor.Bool {
		return fmt.Errorf("dtype %v", t)
	}
	r, v := e.random(), x.Floats()
	for i, p := range v {
		v[i] = 0
		if r.Float64() < p {
			v[i] = 1
		}
	}
	e.Set(0, tensor.FromFloats(t, x.Shape, v))
	return nil
}

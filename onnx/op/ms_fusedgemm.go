package op

import "onnxopt/onnx/tensor"

var opMsFusedGemm = &Def{
	Name:   "FusedGemm",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T C?:T -> Y:T | activation:string activation_alpha:float activation_beta:float activation_gamma:float alpha:float=1 beta:float=1 transA:int=0 transB:int=0 | T: fp uint32 uint64 int32 int64`},
	},
	Infer: inferGemm,
	Eval:  evalFusedGemm,
}

// evalFusedGemm is activation(Gemm(A, B, C)).
func evalFusedGemm(e *Eval) error {
	var params []float64
	for _, name := range []string{"activation_alpha", "activation_beta", "activation_gamma"} {
		if !e.Has(name) {
			break
		}
		params = append(params, e.Float(name))
	}
	f, err := fusedActivation(e.Str("activation"), params)
	if err != nil {
		return err
	}
	y, err := e.delegate(evalGemm, 13, e.Tensor(0), e.Tensor(1), e.Tensor(2))
	if err != nil {
		return err
	}
	v := y.Floats()
	for i := range v {
		if f != nil {
			v[i] = f(v[i])
		}
	}
	e.Set(0, tensor.FromFloats(y.Type, y.Shape, v))
	return nil
}

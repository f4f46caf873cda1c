package op

import "onnxopt/onnx/tensor"

var opMsFusedConv = &Def{
	Name:   "FusedConv",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T W:T B?:T Z?:T -> Y:T | activation:string activation_params:floats auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints | T: fp`},
	},
	Infer: inferConv,
	Eval:  evalFusedConv,
}

// evalFusedConv is activation(Conv(X, W, B) + Z).
func evalFusedConv(e *Eval) error {
	var params []float64
	for _, p := range e.Floats("activation_params") {
		params = append(params, float64(p))
	}
	f, err := fusedActivation(e.Str("activation"), params)
	if err != nil {
		return err
	}
	y, err := e.delegate(evalConv, 11, e.Tensor(0), e.Tensor(1), e.Tensor(2))
	if err != nil {
		return err
	}
	v := y.Floats()
	if err := scaleShift(y.Shape, v, nil, e.Tensor(3)); err != nil {
		return err
	}
	for i := range v {
		if f != nil {
			v[i] = f(v[i])
		}
	}
	e.Set(0, tensor.FromFloats(y.Type, y.Shape, v))
	return nil
}

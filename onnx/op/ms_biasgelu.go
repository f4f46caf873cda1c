package op

import "onnxopt/onnx/tensor"

var opMsBiasGelu = biasedUnary(&Def{
	Name:   "BiasGelu",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> C:T | | T: fp bfloat16`},
	},
}, gelu)

// biasedUnary completes d as f(X + bias), where the bias, which may be absent,
// broadcasts to X.
func biasedUnary(d *Def, f func(float64) float64) *Def {
	d.Infer = sameShape
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		v := x.Floats()
		if err := scaleShift(x.Shape, v, nil, e.Tensor(1)); err != nil {
			return err
		}
		for i := range v {
			v[i] = f(v[i])
		}
		e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
		return nil
	}
	return d
}

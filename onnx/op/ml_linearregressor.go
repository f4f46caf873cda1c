package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlLinearRegressor = &Def{
	Name:   "LinearRegressor",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:float | coefficients:floats intercepts:floats post_transform:string="NONE" targets:int=1 | T: float double int64 int32`},
	},
	Infer: inferLinearRegressor,
	Eval:  evalLinearRegressor,
}

func inferLinearRegressor(f *Infer) error {
	f.Set(0, rowsDim(f), dim.Of(int64(f.Int("targets"))))
	return nil
}

func evalLinearRegressor(e *Eval) error {
	m, err := featuresOf(e.Tensor(0))
	if err != nil {
		return err
	}
	y, err := linearScores(e, m, e.Int("targets"))
	if err != nil {
		return err
	}
	for i := range m.n {
		if err := postTransform(e.Str("post_transform"), y.row(i)); err != nil {
			return err
		}
	}
	e.Set(0, tensor.FromFloats(tensor.Float32, []int{y.n, y.f}, y.v))
	return nil
}

// linearScores is X*coefficients' + intercepts for n targets.
func linearScores(e *Eval, m features, n int) (features, error) {
	w, b := float64s(e.Attrs.Floats("coefficients")), e.Attrs.Floats("intercepts")
	if n < 1 || len(w) != n*m.f || len(b) != 0 && len(b) != n {
		return m, fmt.Errorf("%d coefficients and %d intercepts for %d features and %d targets", len(w), len(b), m.f, n)
	}
	if err := e.Fits(tensor.Float64, []int{m.n, n}); err != nil {
		return m, err
	}
	y := features{m.n, n, make([]float64, m.n*n)}
	for i := range y.v {
		k := i % n
		if y.v[i] = dot(m.row(i/n), w[k*m.f:(k+1)*m.f]); len(b) > 0 {
			y.v[i] += float64(b[k])
		}
	}
	return y, nil
}

package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlSVMRegressor = &Def{
	Name:   "SVMRegressor",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:float | coefficients:floats kernel_params:floats kernel_type:string="LINEAR" n_supports:int=0 one_class:int=0 post_transform:string="NONE" rho:floats support_vectors:floats | T: float double int64 int32`},
	},
	Infer: inferSVMRegressor,
	Eval:  evalSVMRegressor,
}

func inferSVMRegressor(f *Infer) error {
	f.Set(0, rowsDim(f), dim.Of(1))
	return nil
}

// evalSVMRegressor is Y = sum_j coefficients[j]*K(x, sv_j) + rho, or the kernel
// of x and the coefficients without support vectors; 1 or -1 by its sign for a
// one-class machine.
func evalSVMRegressor(e *Eval) error {
	m, err := featuresOf(e.Tensor(0))
	if err != nil {
		return err
	}
	n := e.Int("n_supports")
	s, err := newSVM(e, m.f, n)
	if err != nil {
		return err
	}
	if len(s.rho) < 1 || n > 0 && len(s.coef) < n || n == 0 && len(s.coef) != m.f {
		return fmt.Errorf("%d coefficients and %d rho for %d support vectors", len(s.coef), len(s.rho), n)
	}
	y := make([]float64, m.n)
	for i := range y {
		if n > 0 {
			y[i] = s.rho[0] + dot(s.kernels(m.row(i)), s.coef)
		} else {
			y[i] = s.rho[0] + s.kernel(m.row(i), s.coef)
		}
		if e.Int("one_class") != 0 {
			if y[i] > 0 {
				y[i] = 1
			} else {
				y[i] = -1
			}
		} else if err := postTransform(e.Str("post_transform"), y[i:i+1]); err != nil {
			return err
		}
	}
	e.Set(0, tensor.FromFloats(tensor.Float32, []int{m.n, 1}, y))
	return nil
}

// svm is the attributes that support vector machines share.
type svm struct {
	kernel    func(a, b []float64) float64
	vectors   [][]float64
	coef, rho []float64
}

func newSVM(e *Eval, features, n int) (*svm, error) {
	s := &svm{coef: float64s(e.Attrs.Floats("coefficients")), rho: float64s(e.Attrs.Floats("rho"))}
	flat := float64s(e.Attrs.Floats("support_vectors"))
	if n < 0 || features == 0 || n > 0 && (len(flat)%n != 0 || len(flat)/n != features) {
		return nil, fmt.Errorf("%d support vectors of %d numbers for %d features", n, len(flat), features)
	}
	for i := range n {
		s.vectors = append(s.vectors, flat[i*features:(i+1)*features])
	}
	p := append(float64s(e.Attrs.Floats("kernel_params")), 0, 0, 0)
	gamma, coef0, degree := p[0], p[1], p[2]
	switch k := e.Str("kernel_type"); k {
	case "LINEAR":
		s.kernel = dot
	case "POLY":
		s.kernel = func(a, b []float64) float64 { return math.Pow(gamma*dot(a, b)+coef0, degree) }
	case "SIGMOID":
		s.kernel = func(a, b []float64) float64 { return math.Tanh(gamma*dot(a, b) + coef0) }
	case "RBF":
		s.kernel = func(a, b []float64) float64 {
			d := 0.0
			for i := range a {
				d += (a[i] - b[i]) * (a[i] - b[i])
			}
			return math.Exp(-gamma * d)
		}
	default:
		return nil, fmt.Errorf("kernel_type %q", k)
	}
	return s, nil
}

// kernels is the kernel of x and each support vector.
func (s *svm) kernels(x []float64) []float64 {
	out := make([]float64, len(s.vectors))
	for i, v := range s.vectors {
		out[i] = s.kernel(x, v)
	}
	return out
}

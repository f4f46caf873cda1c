package op

import (
	"errors"
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opMsInverse = &Def{
	Name:   "Inverse",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | | T: fp`},
	},
	Check: Loose,
	Infer: inferInverse,
	Eval:  evalInverse,
}

func inferInverse(f *Infer) error {
	s, ok := f.Shape(0)
	if ok && (len(s) < 2 || s[len(s)-1].Conflict(s[len(s)-2])) {
		return fmt.Errorf("input %v is not square", f.Type(0))
	}
	return sameShape(f)
}

func evalInverse(e *Eval) error {
	x := e.Tensor(0)
	r := x.Rank()
	if r < 2 || x.Shape[r-1] != x.Shape[r-2] {
		return fmt.Errorf("input %v is not square", x)
	}
	n, v := x.Shape[r-1], x.Floats()
	for i := range volume(x.Shape[:r-2]) {
		if err := invert(v[i*n*n:(i+1)*n*n], n); err != nil {
			return err
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

// invert replaces a by its inverse: Gauss-Jordan elimination with partial
// pivoting.
func invert(a []float64, n int) error {
	inv := make([]float64, n*n)
	for i := range n {
		inv[i*n+i] = 1
	}
	for c := range n {
		p := c
		for r := c + 1; r < n; r++ {
			if math.Abs(a[r*n+c]) > math.Abs(a[p*n+c]) {
				p = r
			}
		}
		pivot := a[p*n+c]
		if pivot == 0 {
			return errors.New("singular matrix")
		}
		for _, m := range [][]float64{a, inv} {
			for k := range n {
				m[c*n+k], m[p*n+k] = m[p*n+k], m[c*n+k]
				m[c*n+k] /= pivot
			}
		}
		for r := range n {
			q := a[r*n+c]
			if r == c || q == 0 {
				continue
			}
			for _, m := range [][]float64{a, inv} {
				for k := range n {
					m[r*n+k] -= q * m[c*n+k]
				}
			}
		}
	}
	copy(a, inv)
	return nil
}

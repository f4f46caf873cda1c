package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opDet = &Def{
	Name: "Det",
	Versions: []Version{
		{Since: 11, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Infer: inferDet,
	Eval:  evalDet,
}

func inferDet(f *Infer) error {
	if s, ok := f.Shape(0); ok && len(s) >= 2 && s[len(s)-1].Conflict(s[len(s)-2]) {
		return fmt.Errorf("input %v is not square", f.Type(0))
	}
	if s, ok := f.Shape(0); ok {
		if len(s) < 2 {
			return fmt.Errorf("input %v", f.Type(0))
		}
		f.Set(0, s[:len(s)-2]...)
	}
	return nil
}

func evalDet(e *Eval) error {
	x := e.Tensor(0)
	r := x.Rank()
	if r < 2 || x.Shape[r-1] != x.Shape[r-2] {
		return fmt.Errorf("input %v", x)
	}
	n, v := x.Shape[r-1], x.Floats()
	out := make([]float64, volume(x.Shape[:r-2]))
	for i := range out {
		out[i] = determinant(v[i*n*n:(i+1)*n*n], n)
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape[:r-2], out))
	return nil
}

// determinant eliminates with partial pivoting, overwriting a.
func determinant(a []float64, n int) float64 {
	det := 1.0
	for c := range n {
		p := c
		for r := c + 1; r < n; r++ {
			if math.Abs(a[r*n+c]) > math.Abs(a[p*n+c]) {
				p = r
			}
		}
		if a[p*n+c] == 0 {
			return 0
		}
		if p != c {
			det = -det
			for k := range n {
				a[p*n+k], a[c*n+k] = a[c*n+k], a[p*n+k]
			}
		}
		det *= a[c*n+c]
		for r := c + 1; r < n; r++ {
			q := a[r*n+c] / a[c*n+c]
			for k := c; k < n; k++ {
				a[r*n+k] -= q * a[c*n+k]
			}
		}
	}
	return det
}

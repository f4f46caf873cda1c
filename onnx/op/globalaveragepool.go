package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opGlobalAveragePool = globalPool(&Def{
	Name: "GlobalAveragePool",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(*Attrs) func([]float64) float64 {
	return func(v []float64) float64 { return sumFloats(v) / float64(len(v)) }
})

// globalPool completes d as a reduction over all spatial axes, which stay with
// size 1.
func globalPool(d *Def, f func(a *Attrs) func([]float64) float64) *Def {
	d.Infer = func(f *Infer) error {
		s, ok := f.Shape(0)
		if !ok || len(s) < 2 {
			return nil
		}
		out := slices.Clone(s)
		for i := 2; i < len(out); i++ {
			out[i] = dim.Of(1)
		}
		f.Set(0, out...)
		return nil
	}
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		if x.Rank() < 2 {
			return fmt.Errorf("input %v", x)
		}
		g, v, plane := f(&e.Attrs), x.Floats(), volume(x.Shape[2:])
		shape := ones(x.Rank())
		shape[0], shape[1] = x.Shape[0], x.Shape[1]
		y := make([]float64, shape[0]*shape[1])
		for i := range y {
			y[i] = g(v[i*plane : (i+1)*plane])
		}
		e.Set(0, tensor.FromFloats(x.Type, shape, y))
		return nil
	}
	return d
}

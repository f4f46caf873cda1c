package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

// optimizer completes d as an optimizer of ai.onnx.preview.training: its inputs
// are the learning rate R, the update count T, tensors X, their gradients G and
// the given number of states of each; its outputs the new X and states. step
// gives the update of one element, which changes the states in place; g has the
// L2 regularization already: norm_coefficient*x + g.
func optimizer(d *Def, states int, step func(a *Attrs, r float64, t int64) func(x, g float64, s []float64) float64) *Def {
	d.Domain = "ai.onnx.preview.training"
	d.Infer = func(f *Infer) error {
		n, err := optimized(len(f.In), len(f.Out), states)
		for i := range f.Out {
			if err == nil {
				f.SetType(i, f.Type(optimizerSlot(i, n)))
			}
		}
		return err
	}
	d.Eval = func(e *Eval) error {
		n, err := optimized(len(e.In), len(e.Out), states)
		if err != nil {
			return err
		}
		r, t := e.Tensor(0), e.Tensor(1)
		if r.Len() != 1 || t.Len() != 1 {
			return fmt.Errorf("learning rate %v and update count %v", r, t)
		}
		update, norm := step(&e.Attrs, r.Floats()[0], t.Ints()[0]), e.Float("norm_coefficient")
		for i := range n {
			x := e.Tensor(2 + i)
			var v [][]float64 // the tensor, its gradient, its states
			for k := range 2 + states {
				y := e.Tensor(2 + k*n + i)
				if y.Type != x.Type || !slices.Equal(y.Shape, x.Shape) {
					return fmt.Errorf("%v for %v", y, x)
				}
				v = append(v, y.Floats())
			}
			s := make([]float64, states)
			for j := range v[0] {
				for k := range s {
					s[k] = v[2+k][j]
				}
				v[0][j] = update(v[0][j], norm*v[0][j]+v[1][j], s)
				for k := range s {
					v[2+k][j] = s[k]
				}
			}
			e.Set(i, tensor.FromFloats(x.Type, x.Shape, v[0]))
			for k := range states {
				e.Set((1+k)*n+i, tensor.FromFloats(x.Type, x.Shape, v[2+k]))
			}
		}
		return nil
	}
	return d
}

// optimized is the number of tensors that an optimizer updates.
func optimized(in, out, states int) (int, error) {
	n := (in - 2) / (2 + states)
	if n < 1 || in != 2+n*(2+states) || out != n*(1+states) {
		return 0, fmt.Errorf("%d inputs and %d outputs", in, out)
	}
	return n, nil
}

// optimizerSlot is the input whose new value output i of an optimizer of n
// tensors is.
func optimizerSlot(i, n int) int {
	if i < n {
		return 2 + i
	}
	return 2 + n + i
}

package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
)

// quantizedPool completes d as a pooling operator between quantized types;
// pool is the Eval of the float one. With channels_last, the channels are the
// last axis.
func quantizedPool(d *Def, infer func(*Infer) error, pool func(*Eval) error) *Def {
	d.Domain = microsoft
	d.Infer = func(f *Infer) error {
		s, ok := f.Shape(0)
		if !ok {
			return nil
		}
		last := f.Int("channels_last") != 0
		if last {
			s = permuted(s, channelsFirst(len(s)))
		}
		p := *f
		p.In = []graph.Type{graph.TensorOf(f.Type(0).Elem, s...)}
		if err := infer(&p); err != nil {
			return err
		}
		if out := f.Out[0].Shape; last {
			f.Set(0, permuted(out, channelsLast(len(out)))...)
		}
		return nil
	}
	d.Eval = func(e *Eval) error {
		x, err := e.dequantized(0)
		if err != nil {
			return err
		}
		if x.Rank() < 3 {
			return fmt.Errorf("input %v", x)
		}
		last := e.Int("channels_last") != 0
		if last {
			if x, err = Transpose(x, channelsFirst(x.Rank())); err != nil {
				return err
			}
		}
		y, err := e.delegate(pool, 11, x)
		if err != nil {
			return err
		}
		if last {
			if y, err = Transpose(y, channelsLast(y.Rank())); err != nil {
				return err
			}
		}
		return e.setQuantized(e.Tensor(0).Type, y.Shape, y.Floats(), 3)
	}
	return d
}

// channelsFirst is the permutation from N, D..., C to N, C, D...
func channelsFirst(rank int) []int {
	p := []int{0, rank - 1}
	for i := 1; i < rank-1; i++ {
		p = append(p, i)
	}
	return p
}

// channelsLast is the permutation from N, C, D... to N, D..., C.
func channelsLast(rank int) []int {
	p := []int{0}
	for i := 2; i < rank; i++ {
		p = append(p, i)
	}
	return append(p, 1)
}

func permuted(s []dim.Dim, perm []int) []dim.Dim {
	out := make([]dim.Dim, len(s))
	for i, p := range perm {
		out[i] = s[p]
	}
	return out
}

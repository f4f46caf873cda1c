package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// quantizedPool completes d as a pooling operator between quantized types;
// pool is the Eval of the float one. With channels_last, the channels are the
// last axis.
func quantizedPool(d *Def, infer func(*Infer) error, pool func(*Eval) error) *Def {
	d.Domain = microsoft
	d.Infer = func(f *Infer) error { return f.channelsLast(f.Int("channels_last") != 0, infer) }
	d.Eval = func(e *Eval) error {
		return e.channelsLast(e.Int("channels_last") != 0, func(e *Eval) error {
			x, err := e.dequantized(0)
			if err != nil {
				return err
			}
			if x.Rank() < 3 {
				return fmt.Errorf("input %v", x)
			}
			y, err := e.delegate(pool, 11, x)
			if err != nil {
				return err
			}
			return e.setQuantized(e.Tensor(0).Type, y.Shape, y.Floats(), 3)
		})
	}
	return d
}

// channelsLast is infer where, if last, the channels of input 0 and output 0 are
// the last axis.
func (f *Infer) channelsLast(last bool, infer func(*Infer) error) error {
	s, ok := f.Shape(0)
	if !last || !ok {
		return infer(f)
	}
	if len(s) < 3 {
		return fmt.Errorf("input %v", f.Type(0))
	}
	first := *f
	first.In = slices.Clone(f.In)
	first.In[0] = graph.TensorOf(f.Type(0).Elem, permuted(s, channelsFirst(len(s)))...)
	if err := infer(&first); err != nil {
		return err
	}
	f.Set(0, permuted(f.Out[0].Shape, channelsLast(len(s)))...)
	return nil
}

// channelsLast is eval where, if last, the channels of input 0 and output 0 are
// the last axis.
func (e *Eval) channelsLast(last bool, eval func(*Eval) error) error {
	if !last {
		return eval(e)
	}
	x := e.Tensor(0)
	if x.Rank() < 3 {
		return fmt.Errorf("input %v", x)
	}
	x, err := Transpose(x, channelsFirst(x.Rank()))
	if err != nil {
		return err
	}
	first := *e
	first.In = slices.Clone(e.In)
	first.In[0] = x
	if err := eval(&first); err != nil {
		return err
	}
	y, err := Transpose(e.Out[0].(*tensor.Tensor), channelsLast(x.Rank()))
	e.Set(0, y)
	return err
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

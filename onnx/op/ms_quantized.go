package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

// delegate evaluates f, the Eval of a standard operator of a version, on other
// inputs with the attributes of e's node.
func (e *Eval) delegate(f func(*Eval) error, since int64, in ...*tensor.Tensor) (*tensor.Tensor, error) {
	sub := &Eval{Attrs: e.Attrs, Resolved: e.Resolved, Out: make([]tensor.Value, 1), Env: e.Env}
	sub.Since = since
	for _, t := range in {
		if t == nil {
			sub.In = append(sub.In, nil)
			continue
		}
		sub.In = append(sub.In, t)
	}
	if err := f(sub); err != nil {
		return nil, err
	}
	return sub.Out[0].(*tensor.Tensor), nil
}

// dequantized is (x - zero point) * scale, where input i is x, i+1 its scale
// and i+2 its zero point, 0 if absent; both are per tensor.
func (e *Eval) dequantized(i int) (*tensor.Tensor, error) {
	x := e.Tensor(i)
	s, z, err := e.scaleAndZero(i + 1)
	if err != nil {
		return nil, err
	}
	v := x.Floats()
	for k := range v {
		v[k] = (v[k] - z) * s
	}
	if err := e.Fits(tensor.Float64, x.Shape); err != nil {
		return nil, err
	}
	return tensor.FromFloats(tensor.Float64, x.Shape, v), nil
}

func (e *Eval) scaleAndZero(i int) (scale, zero float64, err error) {
	if scale, err = perTensor(e.Tensor(i)); err != nil {
		return 0, 0, err
	}
	if t := e.Tensor(i + 1); t != nil {
		if t.Len() != 1 {
			return 0, 0, fmt.Errorf("zero point %v, want one element", t)
		}
		zero = t.Floats()[0]
	}
	return scale, zero, nil
}

// setQuantized makes output 0 saturate(round(v / scale) + zero point) of type
// t, where input i is the scale and i+1 the zero point.
func (e *Eval) setQuantized(t tensor.DType, shape []int, v []float64, i int) error {
	s, z, err := e.scaleAndZero(i)
	if err != nil {
		return err
	}
	lo, hi := t.IntRange()
	out := make([]float64, len(v))
	for k, x := range v {
		q := math.RoundToEven(float64(float32(x/s))) + z
		if math.IsNaN(q) {
			q = z
		}
		out[k] = min(max(q, float64(lo)), float64(hi))
	}
	e.Set(0, tensor.FromFloats(t, shape, out))
	return nil
}

// quantizedUnary completes d as y = f(x) between quantized types; inputs are X,
// its scale and zero point, the scale and zero point of Y.
func quantizedUnary(d *Def, f func(a *Attrs) func(float64) float64) *Def {
	d.Domain = microsoft
	d.Infer = sameShape
	d.Eval = func(e *Eval) error {
		x, err := e.dequantized(0)
		if err != nil {
			return err
		}
		g, v := f(&e.Attrs), x.Floats()
		for i := range v {
			v[i] = g(v[i])
		}
		return e.setQuantized(e.Tensor(0).Type, x.Shape, v, 3)
	}
	return d
}

// quantizedBinary completes d as c = f(a, b) between quantized types; inputs
// are A, B and the parameters of C, each with scale and zero point.
func quantizedBinary(d *Def, f func(a, b float64) float64) *Def {
	d.Domain = microsoft
	d.Flags |= Elementwise
	d.Infer = func(f *Infer) error {
		a, ok := f.Shape(0)
		b, ok2 := f.Shape(3)
		if !ok || !ok2 {
			return nil
		}
		shape, err := BroadcastDims(a, b)
		if err == nil {
			f.Set(0, shape...)
		}
		return err
	}
	d.Eval = func(e *Eval) error {
		a, err := e.dequantized(0)
		if err != nil {
			return err
		}
		b, err := e.dequantized(3)
		if err != nil {
			return err
		}
		shape, err := tensor.Broadcast(a.Shape, b.Shape)
		if err != nil {
			return err
		}
		if err := e.Fits(tensor.Float64, shape); err != nil {
			return err
		}
		return e.setQuantized(e.Tensor(0).Type, shape, mapPairs(shape, a, b, a.Floats(), b.Floats(), f), 6)
	}
	return d
}

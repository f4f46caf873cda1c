package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
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
func (e *Eval) dequantized(i int) (*tensor.Tensor, error) { return e.dequantizedBy(i, i+1, i+2) }

// dequantizedBy is dequantized with the slots of scale and zero point.
func (e *Eval) dequantizedBy(i, scale, zero int) (*tensor.Tensor, error) {
	x := e.Tensor(i)
	s, z, err := e.scaleAndZero(scale, zero)
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

func (e *Eval) scaleAndZero(at, zeroAt int) (scale, zero float64, err error) {
	if scale, err = perTensor(e.Tensor(at)); err != nil {
		return 0, 0, err
	}
	if t := e.Tensor(zeroAt); t != nil {
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
	return e.setRounded(t, shape, v, i, func(q, zero float64) float64 { return math.RoundToEven(q) + zero })
}

// setRounded is setQuantized with another rounding of v / scale and the zero point.
func (e *Eval) setRounded(t tensor.DType, shape []int, v []float64, i int, round func(q, zero float64) float64) error {
	s, z, err := e.scaleAndZero(i, i+1)
	if err != nil {
		return err
	}
	lo, hi := t.IntRange()
	out := make([]float64, len(v))
	for k, x := range v {
		q := round(float64(float32(x/s)), z)
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
	d.Infer = func(f *Infer) error { return f.broadcast(0, 3) }
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
		// onnxruntime rounds the sum with the zero point here: halves differ where that is odd.
		return e.setRounded(e.Tensor(0).Type, shape, mapPairs(shape, a, b, a.Floats(), b.Floats(), f), 6,
			func(q, zero float64) float64 { return math.RoundToEven(q + zero) })
	}
	return d
}

// broadcast makes output 0 as large as the inputs of the slots together.
func (f *Infer) broadcast(slots ...int) error {
	var shapes [][]dim.Dim
	for _, i := range slots {
		s, ok := f.Shape(i)
		if !ok {
			return nil
		}
		shapes = append(shapes, s)
	}
	shape, err := BroadcastDims(shapes...)
	if err == nil {
		f.Set(0, shape...)
	}
	return err
}

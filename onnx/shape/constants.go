package shape

import (
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// setConstData records the elements of a small constant for shape arithmetic.
func (s *Info) setConstData(v *graph.Value, t *tensor.Tensor) {
	if d, ok := constData(t); ok {
		s.data[v] = d
	}
}

func constData(t *tensor.Tensor) ([]dim.Dim, bool) {
	if t.Rank() > 1 || t.Len() > maxData || !op.CarriesData(t.Type) {
		return nil, false
	}
	d := make([]dim.Dim, t.Len())
	if t.Type.IsFloat() {
		for i, x := range t.Floats() {
			if x == math.Trunc(x) && math.Abs(x) < 1<<24 {
				d[i] = dim.Of(int64(x))
			}
		}
	} else {
		for i, x := range t.Ints() {
			d[i] = dim.Of(x)
		}
	}
	return d, true
}

// evaluate runs the reference on small constants, so that shape computations
// of any form are known.
func (s *Info) evaluate(n *graph.Node, r op.Resolved) {
	if r.Eval == nil || r.Flags&(op.Random|op.Control) != 0 || len(n.Outputs()) != 1 || n.Out(0) == nil {
		return
	}
	out := n.Out(0)
	t := s.types[out]
	if shape, ok := t.Static(); t.Kind != graph.TensorKind || !ok || !small(shape) || !shapeType(t.Elem) {
		return
	}
	if d, ok := s.data[out]; ok && t.Elem.IsInt() {
		if c := constant(t, d); c != nil {
			s.consts[out] = c
		}
		return
	}
	in := make([]tensor.Value, len(n.Inputs()))
	for i, v := range n.Inputs() {
		if v == nil {
			continue
		}
		c := s.Const(v)
		if c == nil || c.Len() > MaxConst {
			return
		}
		in[i] = c
	}
	got, err := r.Run(n, &op.Env{MaxBytes: 8 * MaxConst}, in)
	if err != nil {
		return
	}
	if c, ok := got[0].(*tensor.Tensor); ok && c.Len() <= MaxConst {
		s.consts[out] = c
		s.types[out] = graph.TypeOf(c)
		s.setConstData(out, c)
	}
}

func small(shape []int) bool {
	n, err := tensor.Count(shape)
	return err == nil && n <= MaxConst
}

// shapeType is the element types that shape computations use.
func shapeType(t tensor.DType) bool {
	return t == tensor.Int64 || t == tensor.Int32 || t == tensor.Bool || t == tensor.Float32
}

// constant is the tensor of fully known data.
func constant(t graph.Type, data []dim.Dim) *tensor.Tensor {
	ints := make([]int64, len(data))
	for i, d := range data {
		n, ok := d.Const()
		if !ok {
			return nil
		}
		ints[i] = n
	}
	shape, _ := t.Static()
	if n, err := tensor.Count(shape); err != nil || n != len(ints) || !t.Elem.IsInt() {
		return nil
	}
	return tensor.FromInts(t.Elem, shape, ints)
}

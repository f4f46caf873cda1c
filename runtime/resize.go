package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// resize is a float32 Resize, one axis after the other, in either layout.
type resize struct {
	attrs *op.Attrs
	rank  int
	last  bool // channels last
}

// matchResize covers Resize of float32 whose outputs all lie inside the input.
func matchResize(l *lowerer, n *graph.Node) *lowered {
	attrs, ok := l.attrs(n)
	rank := l.float32Rank(n.In(0))
	if !n.Is("Resize") || !ok || rank < 1 {
		return nil
	}
	r := &resize{attrs: attrs, rank: rank}
	f := &lowered{in: n.Inputs(), out: n.Outputs(), run: r.run}
	f.place = func(b *builder) {
		if rank, ok := b.isLast(f.in[0]); ok {
			f.inLast, f.outLast, r.last = []int{rank}, rank, true
		}
	}
	return f
}

// samples is what each axis reads; false if the reference must say what is
// wrong.
func (r *resize) samples(in []tensor.Value) ([]op.AxisSamples, bool) {
	plain := in[0].(*tensor.Tensor)
	if r.last { // only the shape counts
		plain = plain.Reshaped(plainShape(plain.Shape)...)
	}
	samples, err := op.ResizeSamples(r.attrs, append([]tensor.Value{plain}, in[1:]...))
	for i := range samples {
		if len(samples[i].From) == 0 {
			return nil, false
		}
		if r.last {
			samples[i].Axis = lastAxis(samples[i].Axis, r.rank)
		}
	}
	return samples, err == nil
}

func (r *resize) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, ok := in[0].(*tensor.Tensor)
	if !ok || x.Type != tensor.Float32 || x.Rank() != r.rank || x.Len() == 0 {
		return nil, errFallback
	}
	samples, ok := r.samples(in)
	if !ok {
		return nil, errFallback
	}
	for i := range in[1:] {
		f.reads(1 + i)
	}
	for _, s := range samples {
		shape := slices.Clone(x.Shape)
		shape[s.Axis] = len(s.From)
		out, y := f.floats(shape...)
		v, size, inner := x.Float32s(), x.Shape[s.Axis], volume(shape[s.Axis+1:])
		f.rows(volume(shape[:s.Axis+1]), len(y), func(from, to int) {
			for i := from; i < to; i++ {
				o, k := i/len(s.From), i%len(s.From)
				sample(y[i*inner:(i+1)*inner], v[o*size*inner:(o+1)*size*inner], s.From[k], s.Weights[k])
			}
		})
		x = out
	}
	if len(samples) == 0 {
		out := f.new(x.Type, x.Shape...)
		f.do(1, func(_, _ int) { copy(out.Bytes(), x.Bytes()) })
		return f.one(out)
	}
	return f.one(x)
}

// sample is the weighted sum of rows of x, each as long as y.
func sample(y, x []float32, from []int, weights []float32) {
	n := len(y)
	switch {
	case len(from) == 1 && weights[0] == 1:
		copy(y, x[from[0]*n:(from[0]+1)*n])
	case len(from) == 2:
		a, b, w, z := x[from[0]*n:][:n], x[from[1]*n:][:n], weights[0], weights[1]
		for k := range y {
			y[k] = a[k]*w + b[k]*z
		}
	default:
		clear(y)
		for j, w := range weights {
			for k, v := range x[from[j]*n:][:n] {
				y[k] += w * v
			}
		}
	}
}

package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// convTranspose is a two-dimensional float32 ConvTranspose of one group with
// constant weights, with scaling and an activation after it. Channels last,
// each tap adds one matrix product of a row of input to a row of output whose
// pixels are a stride apart.
type convTranspose struct {
	chain  *chain
	attrs  *op.Attrs
	w      *tensor.Tensor
	packed []float32 // [taps], panels of C x M
	shift  []float32
}

func matchConvTranspose(l *lowerer, n *graph.Node) *lowered {
	ch := l.chain(n, func(n *graph.Node) bool { return n.Is("ConvTranspose") })
	if ch == nil || ch.residual != nil {
		return nil
	}
	root := ch.root
	attrs, ok := l.attrs(root)
	w, b := l.constant(root.In(1)), l.constant(root.In(2))
	if !ok || l.float32Rank(root.In(0)) != 4 || w == nil || w.Type != tensor.Float32 || w.Rank() != 4 || attrs.Int("group") != 1 ||
		root.In(2) != nil && (b == nil || b.Len() != w.Shape[1]) {
		return nil
	}
	c := &convTranspose{chain: ch, attrs: attrs, w: w}
	return &lowered{in: []*graph.Value{root.In(0)}, out: n.Outputs(), nodes: ch.nodes, inLast: []int{4}, outLast: 4, run: c.run,
		prepare: func() error {
			c.pack(b)
			return nil
		}}
}

// pack lays out the weights [C, M, kernel...] times the folded scale.
func (c *convTranspose) pack(b *tensor.Tensor) {
	in, out, taps := c.w.Shape[0], c.w.Shape[1], volume(c.w.Shape[2:])
	scale, shift := c.chain.fold(out, b)
	v := c.w.Float32s()
	if scale != nil {
		v = slices.Clone(v)
		for i := range v {
			v[i] *= scale[i/taps%out]
		}
	}
	size := kernel.Panels(out) * kernel.Lanes * in
	c.packed, c.shift = alignedFloats(taps*size), shift
	if c.shift == nil {
		c.shift = make([]float32, out)
	}
	for t := range taps {
		kernel.PackB(c.packed[t*size:(t+1)*size], v[t:], in, out, out*taps, taps)
	}
}

func (c *convTranspose) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, ok := in[0].(*tensor.Tensor)
	if !ok || x.Type != tensor.Float32 || x.Rank() != 4 || x.Len() == 0 || len(c.packed) == 0 {
		return nil, errFallback
	}
	n, h, w, ch := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	win, size, err := op.NewConvTransposeGeometry(c.attrs, []int{n, ch, h, w}, c.w.Shape)
	if err != nil || ch != c.w.Shape[0] {
		return nil, errFallback
	}
	oh, ow, m, kw := size[0], size[1], c.w.Shape[1], c.w.Shape[3]
	out, y := f.floats(n, oh, ow, m)
	src, panel := x.Float32s(), len(c.packed)/volume(c.w.Shape[2:])
	clamp, lo, hi, act := c.chain.clamp()
	if clamp {
		act = kernel.Clip(lo, hi)
	}
	f.work += 2 * int64(x.Len()) * int64(c.w.Len()/max(ch, 1))
	f.do(n*oh, func(_, row int) {
		oy := row % oh
		line := y[row*ow*m : (row+1)*ow*m]
		for px := range ow {
			copy(line[px*m:(px+1)*m], c.shift)
		}
		for t := range volume(c.w.Shape[2:]) {
			at := oy + win.Before[0] - t/kw*win.Dilations[0]
			iy, off := at/win.Strides[0], t%kw*win.Dilations[1]-win.Before[1]
			if at < 0 || at%win.Strides[0] != 0 || iy >= h {
				continue
			}
			// Columns ix whose output ix*stride + off lies inside.
			first, stride := 0, win.Strides[1]
			if off < 0 {
				first = (-off + stride - 1) / stride
			}
			end := min(w, (ow-1-off)/stride+1)
			if ow-1-off < 0 || first >= end {
				continue
			}
			sums := line[(first*stride+off)*m:]
			g := kernel.Gemm{Groups: 1, Rows: end - first, N: m, K: ch, A: src[((row/oh*h+iy)*w+first)*ch:], Lda: ch,
				B: c.packed[t*panel : (t+1)*panel], C: sums, Ldc: stride * m, Residual: sums, Ldr: stride * m}
			g.Run(0, 1, 0, m)
		}
		act.Apply(line, line)
	})
	return f.one(out)
}

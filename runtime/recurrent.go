package runtime

import (
	"slices"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// recurrent is an LSTM or GRU with the usual activations. The products with
// the input are one matrix product for all steps.
type recurrent struct {
	lstm       bool
	linear     bool // GRU with linear_before_reset
	gates      int
	direction  string
	batchFirst bool

	w, r, b *tensor.Tensor // constants that are packed, if they are
	layers  []recurrentLayer
}

// recurrentLayer is one direction. The gates of LSTM are i, o, f, c; those of
// GRU z, r, h, of which h is packed apart.
type recurrentLayer struct {
	reverse    bool
	in, hidden int
	w, r, rh   []float32
	bias       []float32 // of the input's product
	hiddenBias []float32 // Rbh, with linear_before_reset
}

func matchRecurrent(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("LSTM", "GRU") {
		return nil
	}
	attrs, ok := l.attrs(n)
	if !ok || attrs.Since < 7 || attrs.Has("clip") || attrs.Int("input_forget") != 0 || n.In(4) != nil || n.In(7) != nil {
		return nil
	}
	for _, v := range n.Inputs() {
		if v != nil && l.float32Rank(v) < 0 {
			return nil
		}
	}
	q := &recurrent{lstm: n.Is("LSTM"), linear: attrs.Int("linear_before_reset") != 0, gates: 3, direction: attrs.Str("direction"), batchFirst: attrs.Int("layout") != 0}
	usual := []string{"sigmoid", "tanh"}
	if q.lstm {
		q.gates, usual = 4, []string{"sigmoid", "tanh", "tanh"}
	}
	if given := attrs.Strings("activations"); given != nil {
		for i, a := range given {
			if !strings.EqualFold(a, usual[i%len(usual)]) {
				return nil
			}
		}
	}
	f := &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		out, err := q.run(f, in)
		return out[:min(len(out), len(n.Outputs()))], err
	}}
	w, r, b := l.fixed(n.In(1)), l.fixed(n.In(2)), l.fixed(n.In(3))
	if w != nil && r != nil && (b != nil || n.In(3) == nil) {
		f.prepare = func() error {
			if q.pack(w, r, b) {
				q.w, q.r, q.b = w, r, b
			}
			return nil
		}
	}
	return f
}

// pack lays out the weights; false if their shapes do not agree.
func (q *recurrent) pack(w, r, b *tensor.Tensor) bool {
	dirs := 1
	if q.direction == "bidirectional" {
		dirs = 2
	}
	if w.Rank() != 3 || r.Rank() != 3 {
		return false
	}
	hidden, in := r.Shape[2], w.Shape[2]
	rows := q.gates * hidden
	if !slices.Equal(w.Shape, []int{dirs, rows, in}) || !slices.Equal(r.Shape, []int{dirs, rows, hidden}) ||
		b != nil && !slices.Equal(b.Shape, []int{dirs, 2 * rows}) || hidden == 0 {
		return false
	}
	q.w, q.r, q.b, q.layers = nil, nil, nil, nil
	for d := range dirs {
		l := recurrentLayer{reverse: q.direction == "reverse" || d == 1, in: in, hidden: hidden, bias: make([]float32, rows)}
		wv, rv := w.Float32s()[d*rows*in:(d+1)*rows*in], r.Float32s()[d*rows*hidden:(d+1)*rows*hidden]
		apart := rows // gates packed together
		if !q.lstm {
			apart = 2 * hidden
			l.hiddenBias = make([]float32, hidden)
		}
		l.w = kernel.PackB(nil, wv, in, rows, 1, in)
		l.r = kernel.PackB(nil, rv[:apart*hidden], hidden, apart, 1, hidden)
		if !q.lstm {
			l.rh = kernel.PackB(nil, rv[apart*hidden:], hidden, hidden, 1, hidden)
		}
		if b != nil {
			bv := b.Float32s()[d*2*rows : (d+1)*2*rows]
			copy(l.bias, bv[:rows])
			for i, x := range bv[rows:] {
				if q.linear && i >= apart {
					l.hiddenBias[i-apart] = x
				} else {
					l.bias[i] += x
				}
			}
		}
		q.layers = append(q.layers, l)
	}
	return true
}

func (q *recurrent) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	t, ok := float32In(in)
	if !ok || t[0].Rank() != 3 {
		return nil, errFallback
	}
	for len(t) < 7 {
		t = append(t, nil)
	}
	if q.w == nil || q.w != t[1] || q.r != t[2] || q.b != t[3] {
		f.varies()
		if !q.pack(t[1], t[2], t[3]) {
			return nil, errFallback
		}
	}
	x := t[0]
	if q.batchFirst {
		x = f.swapped(x)
	}
	seq, batch, dirs, hidden := x.Shape[0], x.Shape[1], len(q.layers), q.layers[0].hidden
	if x.Shape[2] != q.layers[0].in || x.Len() == 0 {
		return nil, errFallback
	}
	var states [2]*tensor.Tensor // h, c
	for i := range states {
		states[i] = f.new(tensor.Float32, dirs, batch, hidden)
		s := tensor.View[float32](states[i])
		init := t[5+i]
		switch {
		case init == nil:
			f.do(1, func(_, _ int) { clear(s) })
		case q.batchFirst:
			if !slices.Equal(init.Shape, []int{batch, dirs, hidden}) {
				return nil, errFallback
			}
			from := f.swapped(init).Float32s()
			f.do(1, func(_, _ int) { copy(s, from) })
		default:
			if !slices.Equal(init.Shape, []int{dirs, batch, hidden}) {
				return nil, errFallback
			}
			f.do(1, func(_, _ int) { copy(s, init.Float32s()) })
		}
	}
	y, all := f.floats(seq, dirs, batch, hidden)
	rows := q.gates * hidden
	_, product := f.floats(seq*batch, rows)
	_, gates := f.floats(batch, rows)
	for d := range q.layers {
		l := &q.layers[d]
		g := kernel.Gemm{Groups: 1, Rows: seq * batch, N: rows, K: l.in, A: x.Float32s(), Lda: l.in, B: l.w, C: product, Ldc: rows, Bias: l.bias}
		f.gemm(&g)
		f.work += 2 * int64(seq*batch) * int64(rows*hidden)
		n := batch * hidden
		h, c := tensor.View[float32](states[0])[d*n:(d+1)*n], tensor.View[float32](states[1])[d*n:(d+1)*n]
		f.do(1, func(_, _ int) {
			for i := range seq {
				at := i
				if l.reverse {
					at = seq - 1 - i
				}
				if px := product[at*batch*rows : (at+1)*batch*rows]; q.lstm {
					l.stepLSTM(gates, px, h, c, batch)
				} else {
					l.stepGRU(gates, px, h, c, batch, q.linear)
				}
				copy(all[(at*dirs+d)*n:], h)
			}
		})
	}
	out := []tensor.Value{y, states[0], states[1]}
	if q.batchFirst {
		back := f.new(tensor.Float32, batch, seq, dirs, hidden)
		f.move(back.Bytes(), y.Bytes(), 4, back.Shape, tensor.Strides(back.Shape), []int{hidden, dirs * batch * hidden, batch * hidden, 1})
		out = []tensor.Value{back, f.swapped(states[0]), f.swapped(states[1])}
	}
	return out, nil
}

// swapped is x with its first two of three axes swapped.
func (f *frame) swapped(x *tensor.Tensor) *tensor.Tensor {
	out := f.new(x.Type, x.Shape[1], x.Shape[0], x.Shape[2])
	s := tensor.Strides(x.Shape)
	f.move(out.Bytes(), x.Bytes(), 4, out.Shape, tensor.Strides(out.Shape), []int{s[1], s[0], s[2]})
	return out
}

// stepLSTM replaces h and c. product has the input's part of the gates.
func (l *recurrentLayer) stepLSTM(gates, product, h, c []float32, batch int) {
	n, rows := l.hidden, 4*l.hidden
	g := kernel.Gemm{Groups: 1, Rows: batch, N: rows, K: n, A: h, Lda: n, B: l.r, C: gates, Ldc: rows, Residual: product, Ldr: rows}
	g.Run(0, 1, 0, rows)
	for b := range batch {
		gate, hb, cb := gates[b*rows:(b+1)*rows], h[b*n:(b+1)*n], c[b*n:(b+1)*n]
		in, out, forget, cell := gate[:n], gate[n:2*n], gate[2*n:3*n], gate[3*n:]
		kernel.Function{Kind: kernel.Sigmoid}.Apply(gate[:3*n], gate[:3*n])
		kernel.Function{Kind: kernel.Tanh}.Apply(cell, cell)
		kernel.Mul.Apply(cb, cb, forget)
		kernel.Affine(cb, in, cell, cb)
		kernel.Function{Kind: kernel.Tanh}.Apply(hb, cb)
		kernel.Mul.Apply(hb, hb, out)
	}
}

// stepGRU replaces h; reset is scratch.
func (l *recurrentLayer) stepGRU(gates, product, h, reset []float32, batch int, linear bool) {
	n := l.hidden
	g := kernel.Gemm{Groups: 1, Rows: batch, N: 2 * n, K: n, A: h, Lda: n, B: l.r, C: gates, Ldc: 3 * n, Residual: product, Ldr: 3 * n}
	g.Run(0, 1, 0, 2*n)
	for b := range batch {
		zr := gates[b*3*n : b*3*n+2*n]
		kernel.Function{Kind: kernel.Sigmoid}.Apply(zr, zr)
		if !linear {
			kernel.Mul.Apply(reset[b*n:(b+1)*n], zr[n:], h[b*n:(b+1)*n])
		}
	}
	g = kernel.Gemm{Groups: 1, Rows: batch, N: n, K: n, A: h, Lda: n, B: l.rh, C: gates[2*n:], Ldc: 3 * n, Bias: l.hiddenBias}
	if !linear {
		g.A, g.Bias, g.Residual, g.Ldr = reset, nil, product[2*n:], 3*n
	}
	g.Run(0, 1, 0, n)
	for b := range batch {
		z, r, cell := gates[b*3*n:b*3*n+n], gates[b*3*n+n:b*3*n+2*n], gates[b*3*n+2*n:(b+1)*3*n]
		if linear {
			kernel.Affine(cell, cell, r, product[b*3*n+2*n:(b+1)*3*n])
		}
		kernel.Function{Kind: kernel.Tanh}.Apply(cell, cell)
		hb := h[b*n : (b+1)*n]
		kernel.Sub.Apply(hb, hb, cell) // h = z*(h - n) + n
		kernel.Affine(hb, z, hb, cell)
	}
}

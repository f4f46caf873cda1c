package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// matrix is a Gemm or MatMul with a bias, a residual and an activation after
// it. A constant right operand is packed once.
type matrix struct {
	alpha, beta    float32
	transA, transB bool
	gemm           bool
	bias           []float32 // an Add of a constant row
	c              int       // input of Gemm's C, 0 if none
	residual       int       // input of the residual, 0 if none
	act            kernel.Function
	packed         []float32
	of             *tensor.Tensor // the constant that is packed, if one is
}

func isMatrix(n *graph.Node) bool { return n.Is("Gemm", "MatMul") }

func matchGemm(l *lowerer, n *graph.Node) *lowered {
	m := &matrix{alpha: 1}
	var nodes []*graph.Node
	v, uses := n.Out(0), 0
	if u := l.function(n); u != nil {
		m.act, nodes, v, uses = u.Function, slices.Clone(u.nodes), u.x, u.uses
		slices.Reverse(nodes)
	}
	var residual *graph.Value
	for range 4 {
		if v == nil || v.Def() == nil {
			return nil
		}
		d := v.Def()
		if d.Graph() != l.graph || uses > 0 && !l.hiddenIn(v, uses) {
			return nil
		}
		nodes = append(nodes, d)
		if isMatrix(d) {
			if l.inIntegers(d) {
				return nil
			}
			slices.Reverse(nodes)
			return m.match(l, d, residual, n, nodes)
		}
		if !d.Is("Add") || l.opset("") < 7 {
			return nil
		}
		next := -1
		for i := range 2 {
			if x := d.In(i); x != d.In(1-i) && l.leadsToMatrix(x) && (next < 0 || later(x, d.In(next))) {
				next = i
			}
		}
		if next < 0 {
			return nil
		}
		other := d.In(1 - next)
		if row := l.constant(other); row != nil && row.Type == tensor.Float32 && m.bias == nil && l.isRow(row, d.In(next)) {
			m.bias = row.Float32s()
		} else if residual == nil && m.bias == nil {
			residual = other
		} else {
			return nil
		}
		v, uses = d.In(next), 1
	}
	return nil
}

// isRow reports that row is a vector as long as the rows of v, which is of a
// known rank and width.
func (l *lowerer) isRow(row *tensor.Tensor, v *graph.Value) bool {
	t := l.typeOf(v)
	if row.Rank() < 1 || !t.Ranked || len(t.Shape) < row.Rank() || row.Len() != row.Shape[row.Rank()-1] || row.Len() == 0 {
		return false
	}
	width, ok := t.Shape[len(t.Shape)-1].Const()
	return ok && int(width) == row.Len()
}

// leadsToMatrix reports that v is the hidden result of a product, possibly
// with a row added.
func (l *lowerer) leadsToMatrix(v *graph.Value) bool {
	for range 2 {
		if !l.hidden(v) {
			return false
		}
		d := v.Def()
		if isMatrix(d) {
			return true
		}
		if !d.Is("Add") {
			return false
		}
		v = d.In(0)
		if l.constant(v) != nil {
			v = d.In(1)
		}
	}
	return false
}

func (m *matrix) match(l *lowerer, root *graph.Node, residual *graph.Value, n *graph.Node, nodes []*graph.Node) *lowered {
	if l.float32Rank(root.In(0)) < 2 || l.float32Rank(root.In(1)) < 2 {
		return nil
	}
	f := &lowered{in: slices.Clone(root.Inputs()), out: n.Outputs(), nodes: nodes, run: m.run}
	if root.Is("Gemm") {
		a, ok := l.attrs(root)
		if !ok {
			return nil
		}
		m.gemm, m.alpha, m.beta = true, float32(a.Float("alpha")), float32(a.Float("beta"))
		m.transA, m.transB = a.Int("transA") != 0, a.Int("transB") != 0
		if root.In(2) != nil && m.beta != 0 {
			if m.c = 2; l.float32Rank(root.In(2)) < 0 || l.opset("") < 7 {
				return nil
			}
		}
	}
	if residual != nil {
		if l.float32Rank(residual) < 0 {
			return nil
		}
		m.residual = len(f.in)
		f.in = append(f.in, residual)
	}
	if b := l.fixed(root.In(1)); b != nil && b.Rank() == 2 {
		f.prepare = func() error {
			m.pack(b)
			m.of = b
			return nil
		}
	}
	return f
}

// pack lays out a right operand of rank 2, times alpha.
func (m *matrix) pack(b *tensor.Tensor) {
	m.room(b.Shape)
	k, n, rowStride, colStride := m.sizes(b.Shape)
	m.packed = kernel.PackB(m.packed, b.Float32s(), k, n, rowStride, colStride)
	if m.alpha != 1 {
		kernel.Function{Kind: kernel.Line, A: m.alpha, Lo: negInf, Hi: -negInf}.Apply(m.packed, m.packed)
	}
	m.of = nil
}

// room makes m.packed as long as a right operand of that shape needs.
func (m *matrix) room(b []int) {
	k, n, _, _ := m.sizes(b)
	if size := kernel.Panels(n) * k * kernel.Lanes; len(m.packed) != size {
		m.packed = alignedFloats(size)
	}
}

func (m *matrix) sizes(b []int) (k, n, rowStride, colStride int) {
	k, n = b[len(b)-2], b[len(b)-1]
	if m.transB {
		return n, k, 1, n
	}
	return k, n, n, 1
}

func (m *matrix) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	t, ok := float32In(in)
	if !ok {
		return nil, errFallback
	}
	a, b := t[0], t[1]
	if a.Rank() < 2 || b.Rank() < 2 || m.gemm && (a.Rank() != 2 || b.Rank() != 2) {
		return nil, errFallback
	}
	if m.transA {
		back := f.new(tensor.Float32, a.Shape[1], a.Shape[0])
		from := a
		f.do(1, func(_, _ int) {
			kernel.TransposeFloats(tensor.View[float32](back), from.Float32s(), from.Shape[0], from.Shape[1])
		})
		a = back
	}
	k, n, rowStride, colStride := m.sizes(b.Shape)
	as, bs := a.Shape, b.Shape
	rows := as[len(as)-2]
	if as[len(as)-1] != k {
		return nil, errFallback
	}
	batch, err := tensor.Broadcast(as[:len(as)-2], bs[:len(bs)-2])
	if err != nil {
		return nil, errFallback
	}
	shape := append(slices.Clone(batch), rows, n)
	addLater := false // a residual that repeats along some axes
	if m.residual > 0 && !slices.Equal(t[m.residual].Shape, shape) {
		if s, err := tensor.Broadcast(shape, t[m.residual].Shape); err != nil || !slices.Equal(s, shape) {
			return nil, errFallback
		}
		addLater = true
	}
	out, y := f.floats(shape...)
	g := kernel.Gemm{Groups: 1, Rows: rows, N: n, K: k, A: a.Float32s(), Lda: k, C: y, Ldc: n, Ldr: n, Bias: m.bias, Act: m.act}
	if g.Bias != nil && len(g.Bias) != n {
		return nil, errFallback
	}
	if err := m.addends(f, &g, t, shape, addLater); err != nil {
		return nil, err
	}
	if addLater {
		g.Act = kernel.Function{}
	}
	switch {
	case len(y) == 0:
	case len(bs) == 2:
		if m.of == nil || m.of != b {
			m.room(b.Shape)
			f.do(1, func(_, _ int) { m.pack(b) })
		}
		g.Rows, g.B = len(y)/n, m.packed
		f.gemm(&g)
	default:
		m.batched(f, &g, batch, as, bs, b.Float32s(), rowStride, colStride)
	}
	if addLater && len(y) > 0 {
		add := binary{kernel.Add, m.act}
		add.broadcast(f, y, y, t[m.residual].Float32s(), shape, shape, t[m.residual].Shape)
	}
	return f.one(out)
}

// addends sets bias and residual from C and the residual.
func (m *matrix) addends(f *frame, g *kernel.Gemm, t []*tensor.Tensor, shape []int, addLater bool) error {
	if m.residual > 0 && !addLater {
		g.Residual = t[m.residual].Float32s()
	}
	if m.c == 0 || t[m.c] == nil {
		return nil
	}
	c := t[m.c]
	if c.Rank() > 2 {
		return errFallback
	}
	if c.Len() == g.N && (c.Rank() == 1 || c.Shape[0] == 1) && m.bias == nil {
		row := make([]float32, g.N)
		f.do(1, func(_, _ int) {
			for i, v := range c.Float32s() {
				row[i] = m.beta * v
			}
		})
		g.Bias = row
		return nil
	}
	if s, err := tensor.Broadcast(shape, c.Shape); err != nil || !slices.Equal(s, shape) || g.Residual != nil {
		return errFallback
	}
	full, v := make([]float32, volume(shape)), c.Float32s()
	f.do(1, func(_, _ int) {
		op.EachBroadcast(shape, [][]int{c.Shape}, func(o int, at []int) { full[o] = m.beta * v[at[0]] })
	})
	g.Residual = full
	return nil
}

// batched runs one product for each index of the leading axes.
func (m *matrix) batched(f *frame, g *kernel.Gemm, batch, as, bs []int, b []float32, rowStride, colStride int) {
	sa, sb := broadcastStrides(as[:len(as)-2], len(batch)), broadcastStrides(bs[:len(bs)-2], len(batch))
	rows, n, k := g.Rows, g.N, g.K
	f.work += 2 * int64(volume(batch)) * int64(rows*n*k)
	proto := *g
	f.do(volume(batch), func(worker, i int) {
		ia, ib := 0, 0
		for d, rest := len(batch)-1, i; d >= 0; d-- {
			ia, ib = ia+rest%batch[d]*sa[d], ib+rest%batch[d]*sb[d]
			rest /= batch[d]
		}
		h := proto
		h.B = kernel.PackB(f.s.workers.buffer(worker, kernel.Panels(n)*k*kernel.Lanes), b[ib*k*n:], k, n, rowStride, colStride)
		h.A, h.C = h.A[ia*rows*k:], h.C[i*rows*n:]
		if h.Residual != nil {
			h.Residual = h.Residual[i*rows*n:]
		}
		h.Ldc = n
		h.Run(0, 1, 0, n)
	})
}

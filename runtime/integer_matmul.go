package runtime

import (
	"slices"
	"unsafe"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// integerMatMul is Gemm, or MatMul by a constant matrix, on bytes.
type integerMatMul struct {
	products
	node     *graph.Node
	k, n     int
	transB   bool
	raw      bool      // the result is the int32 sums
	shift    []float32 // added to a float result
	saturate bool      // see Options.Device
	packed   *kernel.Weights8
	offsets  []int32
}

func matchIntegerMatMul(l *lowerer, n *graph.Node) *lowered {
	t, ok := l.target(n)
	if !ok || !t.from.Def().Is("Gemm", "MatMul") {
		return nil
	}
	m := &integerMatMul{node: t.from.Def(), products: products{y: &t}}
	if !m.match(l) {
		return nil
	}
	return m.lowered([]*graph.Value{m.x.value}, n.Outputs(), covered(m.node, t.nodes, m.x, m.w, m.b))
}

// matchIntegerMatMulFloat covers a product with a float result, and the row
// that an Add adds to it.
func matchIntegerMatMulFloat(l *lowerer, n *graph.Node) *lowered {
	m := &integerMatMul{node: n}
	var rest []*graph.Node
	if n.Is("Add") {
		row := l.addedRow(n)
		if row < 0 || l.opset("") < 7 {
			return nil
		}
		m.node, rest = n.In(1-row).Def(), []*graph.Node{n}
		m.shift = l.constant(n.In(row)).Float32s()
	}
	if !m.node.Is("Gemm", "MatMul") || !m.match(l) {
		return nil
	}
	if m.shift == nil {
		m.shift = make([]float32, m.n)
	}
	if len(m.shift) != m.n {
		return nil
	}
	return m.lowered([]*graph.Value{m.x.value}, n.Outputs(), covered(m.node, rest, m.x, m.w, m.b))
}

// addedRow is the operand of the Add n that is a constant row, where the other
// is a hidden product; -1 if there is none.
func (l *lowerer) addedRow(n *graph.Node) int {
	for i := range 2 {
		c, v := l.constant(n.In(i)), n.In(1-i)
		if c == nil || c.Type != tensor.Float32 || c.Rank() < 1 || c.Len() != c.Shape[c.Rank()-1] || !l.hidden(v) || !isMatrix(v.Def()) {
			continue
		}
		if c.Rank() <= len(l.typeOf(v).Shape) {
			return i
		}
	}
	return -1
}

// inIntegers reports that a product is better not done in float, since an
// integer path takes it.
func (l *lowerer) inIntegers(n *graph.Node) bool {
	return matchIntegerMatMulFloat(l, n) != nil || matchIntegerProduct(l, n) != nil || matchIntegerConvFloat(l, n) != nil
}

func (m *integerMatMul) match(l *lowerer) (ok bool) {
	if m.x, ok = l.dequantized(m.node.In(0)); !ok {
		return false
	}
	if m.w, ok = l.dequantized(m.node.In(1)); !ok || !m.matrix(l) {
		return false
	}
	return m.node.Is("MatMul") || m.setBias(l, m.node.In(2), m.n)
}

// matrix checks the form of the product and of its right operand.
func (m *integerMatMul) matrix(l *lowerer) bool {
	m.saturate = l.saturates()
	if m.w.consts == nil || m.w.consts.Rank() != 2 || m.w.consts.Len() == 0 {
		return false
	}
	if m.node.Is("Gemm") {
		a, ok := l.attrs(m.node)
		if !ok || a.Int("transA") != 0 || a.Float("alpha") != 1 || a.Float("beta") != 1 {
			return false
		}
		m.transB = a.Int("transB") != 0
	}
	m.k, m.n = m.w.consts.Shape[0], m.w.consts.Shape[1]
	axis := 1
	if m.transB {
		m.k, m.n, axis = m.n, m.k, 0
	}
	return m.weights(axis, m.n)
}

func (m *integerMatMul) lowered(in, out []*graph.Value, nodes []*graph.Node) *lowered {
	return &lowered{in: in, out: out, nodes: nodes, prepare: m.pack, run: m.run}
}

func (m *integerMatMul) pack() error {
	m.packed = kernel.Pack8(1, m.k, m.n, m.flat(m.n, m.k, !m.transB), int32(m.x.zero[0]), m.x.signed(), m.bias, m.scale, m.saturate)
	return packed(m.packed != nil)
}

func (m *integerMatMul) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, err := bytesIn(in, 0, m.x)
	if err != nil {
		return nil, err
	}
	zero, err := m.zeroPoint(in)
	if err != nil {
		return nil, err
	}
	f.reads(1)
	m.packed.SetZero(zero)
	if x.Rank() < 1 || x.Shape[x.Rank()-1] != m.k || m.node.Is("Gemm") && x.Rank() != 2 || len(x.Bytes()) > 1<<30 {
		return nil, errFallback
	}
	rows := x.Len() / m.k
	shape := append(slices.Clone(x.Shape[:x.Rank()-1]), m.n)
	m.offsets = offsets(m.offsets, rows, m.k)
	a := kernel.Rows8{Base: f.matrix(x, zero, m.packed.Wide), Offsets: m.offsets, Taps: noTap}
	if m.y != nil {
		out := f.new(m.y.dtype, shape...)
		y, rq := out.Bytes(), m.y.requant()
		f.parts(rows, m.k, func(from, to int) {
			a := a
			a.Offsets = a.Offsets[from:to]
			m.packed.Dot(a, y[from*m.n:], m.n, rq)
		})
		return f.one(out)
	}
	if m.raw {
		out := f.new(tensor.Int32, shape...)
		y := tensor.View[int32](out)
		f.parts(rows, 4*m.n, func(from, to int) {
			a := a
			a.Offsets = a.Offsets[from:to]
			m.packed.Sums(a, y[from*m.n:], m.n)
		})
		return f.one(out)
	}
	out, y := f.floats(shape...)
	f.parts(rows, 4*m.n, func(from, to int) { m.floats(f, a, y, from, to) })
	return f.one(out)
}

// floats computes rows of the float result; the sums take its place first.
func (m *integerMatMul) floats(f *frame, a kernel.Rows8, y []float32, from, to int) {
	a.Offsets = a.Offsets[from:to]
	y = y[from*m.n : to*m.n]
	if len(y) == 0 {
		return
	}
	sums := unsafe.Slice((*int32)(unsafe.Pointer(&y[0])), len(y))
	m.packed.Sums(a, sums, m.n)
	for i := 0; i < len(y); i += m.n {
		kernel.ScaleSums(y[i:i+m.n], sums[i:i+m.n], m.scale, m.shift)
	}
}

var noTap = []int{0}

// matrix is the bytes of x for kernels that read whole steps of 4 bytes: x
// itself if its rows are multiples of that, else a copy with bytes behind it;
// or, wide, int16 less the zero point.
func (f *frame) matrix(x *tensor.Tensor, zero int32, wide bool) unsafe.Pointer {
	b := x.Bytes()
	switch {
	case len(b) == 0:
		return nil
	case wide:
		out := f.new(tensor.Int16, len(b)+32)
		dst := tensor.View[int16](out)
		f.do(1, func(_, _ int) { kernel.Widen8(dst[:len(b)], b, zero, x.Type == tensor.Int8) })
		return unsafe.Pointer(&dst[0])
	case x.Shape[x.Rank()-1]%4 != 0:
		out := f.new(tensor.Uint8, len(b)+64)
		f.do(1, func(_, _ int) { copy(out.Bytes(), b) })
		return unsafe.Pointer(&out.Bytes()[0])
	}
	return unsafe.Pointer(&b[0])
}

// integerProduct is MatMul of two activations on bytes.
type integerProduct struct {
	node    *graph.Node
	a, b    *affine
	y       *target // nil: float
	offsets []int32
}

func matchIntegerProduct(l *lowerer, n *graph.Node) *lowered {
	p := &integerProduct{node: n}
	var rest []*graph.Node
	if t, ok := l.target(n); ok {
		p.node, p.y, rest = t.from.Def(), &t, t.nodes
	}
	if !p.node.Is("MatMul") {
		return nil
	}
	var ok bool
	if p.a, ok = l.dequantized(p.node.In(0)); !ok || !p.a.is8bit() {
		return nil
	}
	if p.b, ok = l.dequantized(p.node.In(1)); !ok || !p.b.is8bit() || p.b.consts != nil {
		return nil
	}
	return p.lowered([]*graph.Value{p.a.value, p.b.value}, n.Outputs(), covered(p.node, rest, p.a, p.b))
}

func (p *integerProduct) lowered(in, out []*graph.Value, nodes []*graph.Node) *lowered {
	return &lowered{in: in, out: out, nodes: nodes, run: p.run}
}

func (p *integerProduct) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	a, err := bytesIn(in, 0, p.a)
	if err != nil {
		return nil, err
	}
	b, err := bytesIn(in, 1, p.b)
	if err != nil {
		return nil, err
	}
	if a.Rank() < 2 || b.Rank() < 2 {
		return nil, errFallback
	}
	m, k, n := a.Shape[a.Rank()-2], a.Shape[a.Rank()-1], b.Shape[b.Rank()-1]
	batch, err := tensor.Broadcast(a.Shape[:a.Rank()-2], b.Shape[:b.Rank()-2])
	if err != nil || b.Shape[b.Rank()-2] != k || k == 0 || k > maxProducts || a.Len() > 1<<30 {
		return nil, errFallback
	}
	shape := append(slices.Clone(batch), m, n)
	p.offsets = offsets(p.offsets, m, k)
	w := kernel.NewProduct8(k, n, p.a.bytes(), p.b.bytes())
	base := f.matrix(a, int32(p.a.zero[0]), w.Wide())
	items := items(batch, a.Shape[:a.Rank()-2], b.Shape[:b.Rank()-2])
	multiplier := p.a.scale[0] * p.b.scale[0]
	var out *tensor.Tensor
	var bytes []byte
	var floats []float32
	rq := kernel.Requant{}
	if p.y != nil {
		multiplier /= p.y.scale[0]
		out, rq = f.new(p.y.dtype, shape...), p.y.requant()
		bytes = out.Bytes()
	} else {
		out, floats = f.floats(shape...)
	}
	scale := slices.Repeat([]float32{multiplier}, kernel.Panels(n)*kernel.Lanes)
	shift := make([]float32, n)
	packed, sums := f.new(tensor.Uint8, f.s.workers.threads, w.Size()), tensor.View[int32](f.new(tensor.Int32, f.s.workers.threads, m))
	f.do(len(items), func(worker, i int) {
		right := w.Pack(packed.Bytes()[worker*w.Size():(worker+1)*w.Size()], b.Bytes()[items[i].b*k*n:], scale)
		rows := kernel.Rows8{Base: unsafe.Add(base, items[i].a*m*k*w.Elem()), Offsets: p.offsets, Taps: noTap}
		rows.Add = w.Rows(sums[worker*m:(worker+1)*m], a.Bytes()[items[i].a*m*k:])
		if p.y != nil {
			right.Dot(rows, bytes[i*m*n:], n, rq)
			return
		}
		y := floats[i*m*n : (i+1)*m*n]
		if len(y) == 0 {
			return
		}
		raw := unsafe.Slice((*int32)(unsafe.Pointer(&y[0])), len(y))
		right.Sums(rows, raw, n)
		for r := range m {
			kernel.ScaleSums(y[r*n:(r+1)*n], raw[r*n:(r+1)*n], scale, shift)
		}
	})
	return f.one(out)
}

// item is the index of a matrix in each operand of a batched product.
type item struct{ a, b int }

func items(batch, a, b []int) []item {
	out := make([]item, volume(batch))
	at := func(i int, s []int) int {
		index, stride := 0, 1
		for d := len(batch) - 1; d >= 0; d-- {
			q := i % batch[d]
			i /= batch[d]
			if j := d - (len(batch) - len(s)); j >= 0 {
				if s[j] != 1 {
					index += q * stride
				}
				stride *= s[j]
			}
		}
		return index
	}
	for i := range out {
		out[i] = item{at(i, a), at(i, b)}
	}
	return out
}

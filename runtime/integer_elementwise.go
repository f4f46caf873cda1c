package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// integerBinary is Add or Mul of two 8-bit values of one type.
type integerBinary struct {
	a, b *affine
	y    *target
	run8 func(dst, a, b []byte)
	ones [][]byte // of each thread: the smaller operand, repeated
}

func matchIntegerBinary(l *lowerer, n *graph.Node) *lowered {
	t, ok := l.target(n)
	if !ok || !t.from.Def().Is("Add", "Mul") || l.opset("") < 7 {
		return nil
	}
	node := t.from.Def()
	k := &integerBinary{y: &t}
	if k.a, ok = l.dequantized(node.In(0)); !ok || !k.a.is8bit() || k.a.dtype != t.dtype {
		return nil
	}
	if k.b, ok = l.dequantized(node.In(1)); !ok || !k.b.is8bit() || k.b.dtype != t.dtype {
		return nil
	}
	if node.Op == "Add" {
		f := kernel.NewAdd8(k.a.bytes(), k.b.bytes(), t.bytes(), t.lo, t.hi)
		k.run8 = f.Run
	} else {
		f := kernel.NewMul8(k.a.bytes(), k.b.bytes(), t.bytes(), t.lo, t.hi)
		k.run8 = f.Run
	}
	f := &lowered{in: []*graph.Value{k.a.value, k.b.value}, out: n.Outputs(), nodes: covered(node, t.nodes, k.a, k.b), run: k.run}
	f.place = followLayout(f)
	return f
}

// followLayout takes the inputs channels last if one is there so, and leaves
// the result in that layout.
func followLayout(f *lowered) func(b *builder) {
	return func(b *builder) {
		for _, v := range f.in {
			if rank, ok := b.isLast(v); ok && rank > f.outLast {
				f.outLast = rank
			}
		}
		if f.outLast == 0 {
			return
		}
		for _, v := range f.in {
			if rank, ok := b.isLast(v); ok && rank != f.outLast {
				f.outLast, f.inLast = 0, nil
				return
			}
			if t := b.l.typeOf(v); b.l.constant(v) == nil && (!t.Ranked || len(t.Shape) > f.outLast) {
				f.outLast, f.inLast = 0, nil
				return
			}
			f.inLast = append(f.inLast, f.outLast)
		}
	}
}

func (k *integerBinary) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	a, err := bytesIn(in, 0, k.a)
	if err != nil {
		return nil, err
	}
	b, err := bytesIn(in, 1, k.b)
	if err != nil {
		return nil, err
	}
	shape, err := tensor.Broadcast(a.Shape, b.Shape)
	if err != nil {
		return nil, errFallback
	}
	out := f.new(k.y.dtype, shape...)
	x, w, y := a.Bytes(), b.Bytes(), out.Bytes()
	switch {
	case len(y) == 0:
	case len(x) == len(y) && len(w) == len(y):
		f.s.workers.run((len(y)+blockBytes-1)/blockBytes, func(_, part int) {
			i, j := part*blockBytes, min((part+1)*blockBytes, len(y))
			k.run8(y[i:j], x[i:j], w[i:j])
		})
	case len(x) == len(y):
		k.spread(f, shape, b, func(at, n int, w []byte) { k.run8(y[at:at+n], x[at:at+n], w) })
	case len(w) == len(y):
		k.spread(f, shape, a, func(at, n int, x []byte) { k.run8(y[at:at+n], x, w[at:at+n]) })
	default:
		return nil, errFallback
	}
	return f.one(out)
}

// blockBytes is a part of an element-wise step.
const blockBytes = 32 << 10

// spread calls body for runs of the result along which small repeats itself,
// with as many elements of it.
func (k *integerBinary) spread(f *frame, shape []int, small *tensor.Tensor, body func(at, n int, part []byte)) {
	dims := small.Shape
	for len(dims) < len(shape) {
		dims = append([]int{1}, dims...)
	}
	first := len(shape) // of the axes in which small only repeats
	for first > 0 && dims[first-1] == shape[first-1] {
		first--
	}
	for first > 0 && dims[first-1] == 1 {
		first--
	}
	block, inner := volume(dims[first:]), volume(shape[first:])
	// Short runs are repeated in a buffer.
	length := min(inner, max(block, blockBytes/8/block*block))
	outer := items(shape[:first], dims[:first], nil)
	if len(k.ones) < f.s.workers.threads {
		k.ones = make([][]byte, f.s.workers.threads)
	}
	f.s.workers.run(len(outer), func(worker, i int) {
		part := small.Bytes()[outer[i].a*block:][:block]
		if length > block {
			buffer := slices.Grow(k.ones[worker][:0], length)[:length]
			k.ones[worker] = buffer
			for at := 0; at < length; at += block {
				copy(buffer[at:], part)
			}
			part = buffer
		}
		for at := 0; at < inner; at += length {
			n := min(length, inner-at)
			body(i*inner+at, n, part[:n])
		}
	})
}

// integerTable is element-wise operators from one 8-bit value to another: a
// table of 256 entries, which the operators themselves compute.
type integerTable struct {
	x, y  *affine
	table [256]byte
}

// unaryOps are the operators of a table; with a constant of one element or
// with a second value from the same source, also binaryOps.
var unaryOps = []string{"Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Erf", "Exp", "Log", "Sqrt", "Neg", "Abs",
	"Softplus", "Softsign", "Elu", "Selu", "Celu", "Gelu", "Mish", "Swish", "ThresholdedRelu", "Reciprocal", "Floor", "Ceil", "Round", "Sign", "Identity", "Dropout"}

var binaryOps = []string{"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu"}

func matchIntegerTable(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("QuantizeLinear") {
		return nil
	}
	y, ok := l.affine(n, n.Out(0))
	if !ok || !y.is8bit() {
		return nil
	}
	g := &tableGraph{l: l, seen: map[*graph.Node]bool{}}
	if !g.visit(n.In(0)) || g.source == nil || !g.closed(n) {
		return nil
	}
	x, ok := l.dequantized(g.source)
	if !ok || !x.is8bit() || x.consts != nil {
		return nil
	}
	t := &integerTable{x: x, y: y}
	if !g.fill(t, n) {
		return nil
	}
	f := &lowered{in: []*graph.Value{x.value}, out: n.Outputs(), nodes: append([]*graph.Node{g.source.Def()}, append(g.nodes, n)...), run: t.run}
	f.place = followLayout(f)
	return f
}

// tableGraph is element-wise nodes before a QuantizeLinear, in order.
type tableGraph struct {
	l      *lowerer
	source *graph.Value // the one dequantized value
	nodes  []*graph.Node
	seen   map[*graph.Node]bool
}

func (g *tableGraph) visit(v *graph.Value) bool {
	if v == nil || v == g.source {
		return true
	}
	if c := g.l.constant(v); c != nil {
		return c.Len() == 1
	}
	d := v.Def()
	if d == nil || v.Graph() != g.l.graph || len(g.nodes) > 16 {
		return false
	}
	if d.Is("DequantizeLinear") && g.source == nil {
		g.source = v
		return true
	}
	if g.seen[d] {
		return true
	}
	if d.Domain != "" || !slices.Contains(unaryOps, d.Op) && !slices.Contains(binaryOps, d.Op) || len(d.Outputs()) != 1 {
		return false
	}
	g.seen[d] = true
	for _, in := range d.Inputs() {
		if !g.visit(in) {
			return false
		}
	}
	g.nodes = append(g.nodes, d)
	return true
}

// closed reports that nothing but the nodes and last reads what they compute.
func (g *tableGraph) closed(last *graph.Node) bool {
	for _, n := range g.nodes {
		v := n.Out(0)
		if v.IsOutput() || g.l.s.watches(v) {
			return false
		}
		for _, u := range v.Uses() {
			if u.Node != last && !g.seen[u.Node] {
				return false
			}
		}
	}
	return true
}

// fill evaluates the nodes on all 256 values.
func (g *tableGraph) fill(t *integerTable, last *graph.Node) bool {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	x, _ := tensor.FromBytes(t.x.dtype, []int{256}, all)
	values := map[*graph.Value]tensor.Value{t.x.value: x}
	for _, n := range append([]*graph.Node{g.source.Def()}, append(g.nodes, last)...) {
		r, err := op.Resolve(n, g.l.opset)
		if err != nil || r.Eval == nil {
			return false
		}
		in := make([]tensor.Value, len(n.Inputs()))
		for i, v := range n.Inputs() {
			if v == nil {
				continue
			}
			if c := g.l.constant(v); c != nil {
				in[i] = c.Reshaped(make([]int, 0)...)
				if c.Len() != 1 {
					return false
				}
			} else {
				in[i] = values[v]
			}
		}
		out, err := r.Run(n, &op.Env{MaxBytes: op.DefaultMaxBytes}, in)
		if err != nil {
			return false
		}
		values[n.Out(0)] = out[0]
	}
	y, ok := values[last.Out(0)].(*tensor.Tensor)
	if !ok || y.Type != t.y.dtype || y.Len() != 256 {
		return false
	}
	copy(t.table[:], y.Bytes())
	return true
}

func (t *integerTable) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, err := bytesIn(in, 0, t.x)
	if err != nil {
		return nil, err
	}
	out := f.new(t.y.dtype, x.Shape...)
	f.lookUp(out.Bytes(), x.Bytes(), &t.table)
	return f.one(out)
}

func (f *frame) lookUp(dst, src []byte, table *[256]byte) {
	f.s.workers.run((len(dst)+blockBytes-1)/blockBytes, func(_, part int) {
		i, j := part*blockBytes, min((part+1)*blockBytes, len(dst))
		kernel.Table8(dst[i:j], src[i:j], table)
	})
}

// requantized is the table from x to y, nil if they are the same.
func requantized(x, y *affine) *[256]byte {
	if x.same(y) {
		return nil
	}
	var table [256]byte
	for i := range table {
		q := int32(i)
		if x.signed() {
			q = int32(int8(i))
		}
		table[i] = byte(y.quantize(float32(q-int32(x.zero[0])) * x.scale[0]))
	}
	return &table
}

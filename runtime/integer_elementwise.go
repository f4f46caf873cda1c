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
	op   func(dst, a, b []byte)
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
		k.op = f.Run
	} else {
		f := kernel.NewMul8(k.a.bytes(), k.b.bytes(), t.bytes(), t.lo, t.hi)
		k.op = f.Run
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
	if len(x) == len(y) && len(w) == len(y) {
		f.chunks(len(y), func(from, to int) { k.op(y[from:to], x[from:to], w[from:to]) })
		return f.one(out)
	}
	if len(y) == 0 {
		return f.one(out)
	}
	r := newBroadcast(shape, a.Shape, b.Shape)
	if r.period[0] < r.length && r.period[1] < r.length {
		return nil, errFallback
	}
	f.rows(r.rows, len(y), func(from, to int) {
		for i := from; i < to; i++ {
			k.row(r, y[i*r.length:(i+1)*r.length], x[r.at(i, 0):], w[r.at(i, 1):])
		}
	})
	return f.one(out)
}

// row computes a row in which at most one operand repeats itself.
func (k *integerBinary) row(r *broadcast, y, x, w []byte) {
	var buffer [4096]byte
	period := min(r.period[0], r.period[1])
	n := r.length
	small := &x
	if r.period[1] == period {
		small = &w
	}
	if period < n {
		if n = repeatInto(buffer[:], (*small)[:period], r.length); n <= len(buffer) {
			*small = buffer[:n]
		}
	}
	for from := 0; from < len(y); from += n {
		to := min(from+n, len(y))
		a, b := x, w
		if r.period[0] == r.length {
			a = x[from:]
		}
		if r.period[1] == r.length {
			b = w[from:]
		}
		k.op(y[from:to], a[:to-from], b[:to-from])
	}
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
	"Softplus", "Softsign", "Elu", "Selu", "Celu", "Gelu", "Mish", "Swish", "ThresholdedRelu", "Reciprocal", "Floor", "Ceil", "Round", "Sign", "Identity"}

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
		r, err := g.l.resolve(n)
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
	f.chunks(len(dst), func(from, to int) { kernel.Table8(dst[from:to], src[from:to], table) })
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

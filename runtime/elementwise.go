package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// chunk is the elements that one thread takes at a time.
const chunk = 16 << 10

// chunks calls body for consecutive ranges of n elements, on all threads.
func (f *frame) chunks(n int, body func(from, to int)) {
	if f.s.workers.threads == 1 || n <= chunk {
		f.do(1, func(_, _ int) { body(0, n) })
		return
	}
	f.do((n+chunk-1)/chunk, func(_, i int) { body(i*chunk, min((i+1)*chunk, n)) })
}

// keepLayout has a step whose first input is there channels last work on that.
func keepLayout(f *lowered) {
	f.place = func(b *builder) {
		if rank, ok := b.isLast(f.in[0]); ok {
			f.inLast, f.outLast = []int{rank}, rank // the other inputs are as they are
		}
	}
}

// matchFunction covers functions of one variable.
func matchFunction(l *lowerer, n *graph.Node) *lowered {
	u := l.function(n)
	if u == nil {
		return nil
	}
	fn := u.Function
	f := &lowered{in: []*graph.Value{u.x}, out: n.Outputs(), nodes: u.nodes}
	f.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := in[0].(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 {
			return nil, errFallback
		}
		out := f.like(t, 0)
		x, y := t.Float32s(), tensor.View[float32](out)
		f.chunks(len(x), func(from, to int) { fn.Apply(y[from:to], x[from:to]) })
		return f.one(out)
	}
	keepLayout(f)
	return f
}

var binaries = map[string]kernel.Binary{"Add": kernel.Add, "Sub": kernel.Sub, "Mul": kernel.Mul, "Div": kernel.Div}

// binary is an arithmetic operation with a function after it.
type binary struct {
	op  kernel.Binary
	act kernel.Function
}

// matchBinary covers arithmetic on two broadcast operands.
func matchBinary(l *lowerer, n *graph.Node) *lowered {
	m, nodes := n, []*graph.Node{n}
	var act kernel.Function
	if u := l.function(n); u != nil && u.x.Def() != nil && l.hiddenIn(u.x, u.uses) {
		if _, ok := binaries[u.x.Def().Op]; ok {
			m, act = u.x.Def(), u.Function
			nodes = append([]*graph.Node{m}, u.nodes...)
		}
	}
	o, ok := binaries[m.Op]
	if !ok || l.opset("") < 7 || l.float32Rank(m.In(0)) < 0 || l.float32Rank(m.In(1)) < 0 {
		return nil
	}
	return arithmetic(&binary{o, act}, m.Inputs(), n, nodes)
}

// matchSquare covers Pow with the constant 2.
func matchSquare(l *lowerer, n *graph.Node) *lowered {
	x, k, ok := l.operand(n, "Pow")
	if !ok || k != 2 {
		return nil
	}
	return arithmetic(&binary{op: kernel.Mul}, []*graph.Value{x, x}, n, []*graph.Node{n})
}

// arithmetic is bin on two inputs, as n's result.
func arithmetic(bin *binary, in []*graph.Value, n *graph.Node, nodes []*graph.Node) *lowered {
	f := &lowered{in: in, out: n.Outputs(), nodes: nodes, run: bin.run}
	f.place = func(b *builder) {
		for i := range 2 {
			rank, ok := b.isLast(f.in[i])
			if other := b.l.float32Rank(f.in[1-i]); ok && other <= rank {
				f.inLast, f.outLast = []int{rank, rank}, rank
			}
		}
	}
	return f
}

func (o *binary) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	a, ok := in[0].(*tensor.Tensor)
	b, ok2 := in[1].(*tensor.Tensor)
	if !ok || !ok2 || a.Type != tensor.Float32 || b.Type != tensor.Float32 {
		return nil, errFallback
	}
	x, w := a.Float32s(), b.Float32s()
	if slices.Equal(a.Shape, b.Shape) {
		out := f.like(a, 0)
		y := tensor.View[float32](out)
		f.chunks(len(y), func(from, to int) {
			o.op.Apply(y[from:to], x[from:to], w[from:to])
			o.act.Apply(y[from:to], y[from:to])
		})
		return f.one(out)
	}
	shape, err := tensor.Broadcast(a.Shape, b.Shape)
	if err != nil {
		return nil, errFallback
	}
	var out *tensor.Tensor
	if slices.Equal(shape, a.Shape) {
		out = f.like(a, 0)
	} else {
		out = f.new(tensor.Float32, shape...)
	}
	y := tensor.View[float32](out)
	if len(y) == 0 {
		return f.one(out)
	}
	o.broadcast(f, y, x, w, shape, a.Shape, b.Shape)
	return f.one(out)
}

// broadcast computes y, of the shape that x and w of other shapes broadcast to.
func (o *binary) broadcast(f *frame, y, x, w []float32, shape, xs, ws []int) {
	br := newBroadcast(shape, xs, ws)
	f.rows(br.rows, len(y), func(from, to int) { o.rows(br, y, x, w, from, to) })
}

// broadcast is two operands of a common shape as rows of a fixed length, in
// each of which an operand is consecutive, one number, or a period repeated.
type broadcast struct {
	rows, length int
	dims         []int // outer dims
	index        [2][]int
	period       [2]int // of an operand within a row
}

// newBroadcast merges neighbouring axes as long as both operands allow.
func newBroadcast(shape, a, b []int) *broadcast {
	rank := len(shape)
	stride := [2][]int{broadcastStrides(a, rank), broadcastStrides(b, rank)}
	// Merge: axis i joins i+1 if stride[i] = stride[i+1]*shape[i+1] for both.
	var dims []int
	var st [2][]int
	for i, d := range shape {
		if d == 1 && rank > 1 {
			continue
		}
		last := len(dims) - 1
		if last >= 0 && st[0][last] == stride[0][i]*d && st[1][last] == stride[1][i]*d {
			dims[last] *= d
			st[0][last], st[1][last] = stride[0][i], stride[1][i]
			continue
		}
		dims = append(dims, d)
		st[0], st[1] = append(st[0], stride[0][i]), append(st[1], stride[1][i])
	}
	if len(dims) == 0 {
		dims, st = []int{1}, [2][]int{{0}, {0}}
	}
	last := len(dims) - 1
	r := &broadcast{length: dims[last], dims: dims[:last], rows: volume(dims[:last])}
	for k := range 2 {
		r.period[k] = 1
		if st[k][last] == 1 {
			r.period[k] = dims[last]
		}
		r.index[k] = st[k][:last]
	}
	// One more axis whose operands are consecutive or repeat makes longer rows.
	if n := last - 1; n >= 0 && r.length < 512 {
		outer := dims[n]
		whole := [2]bool{}
		for k := range 2 {
			whole[k] = st[k][n] == r.length && r.period[k] == r.length || st[k][n] == 0 && r.period[k] == r.length
		}
		if whole[0] && whole[1] {
			for k := range 2 {
				if st[k][n] != 0 {
					r.period[k] = r.length * outer
				}
				r.index[k] = r.index[k][:n]
			}
			r.length *= outer
			r.dims = r.dims[:n]
			r.rows = volume(r.dims)
		}
	}
	return r
}

// broadcastStrides is the strides of small under a shape of some rank: 0
// where it repeats.
func broadcastStrides(small []int, rank int) []int {
	out := make([]int, rank)
	n := 1
	for i := len(small) - 1; i >= 0; i-- {
		if small[i] != 1 {
			out[rank-len(small)+i] = n
		}
		n *= small[i]
	}
	return out
}

// at is where row i starts in operand k.
func (r *broadcast) at(i, k int) int {
	at := 0
	for d := len(r.dims) - 1; d >= 0; d-- {
		at += i % r.dims[d] * r.index[k][d]
		i /= r.dims[d]
	}
	return at
}

// rows computes the rows [from, to).
func (o *binary) rows(r *broadcast, y, x, w []float32, from, to int) {
	var buf [1024]float32
	for i := from; i < to; i++ {
		dst := y[i*r.length : (i+1)*r.length]
		a, b := x[r.at(i, 0):], w[r.at(i, 1):]
		switch {
		case r.period[0] == r.length && r.period[1] == r.length:
			o.op.Apply(dst, a[:r.length], b)
		case r.period[0] == r.length:
			n := repeatInto(buf[:], b[:r.period[1]], r.length)
			for j := 0; j < len(dst); j += n {
				m := min(n, len(dst)-j)
				if n > len(buf) {
					o.op.Apply(dst[j:j+m], a[j:j+m], b)
				} else {
					o.op.Apply(dst[j:j+m], a[j:j+m], buf[:])
				}
			}
		default:
			n := repeatInto(buf[:], a[:r.period[0]], r.length)
			for j := 0; j < len(dst); j += n {
				m := min(n, len(dst)-j)
				src := buf[:]
				if n > len(buf) {
					src = a
				}
				if r.period[1] == r.length {
					o.op.Apply(dst[j:j+m], src[:m], b[j:])
				} else { // both repeat: the row is of one period of b
					for q := range m {
						p := [1]float32{b[(j+q)%r.period[1]]}
						o.op.Apply(dst[j+q:j+q+1], src[q:q+1], p[:])
					}
				}
			}
		}
		o.act.Apply(dst, dst)
	}
}

// repeatInto fills buf with whole periods, at most up to length, and returns
// how much that is; more than buf holds if one period is.
func repeatInto[T any](buf, period []T, length int) int {
	n := len(period)
	if n > len(buf) {
		return n
	}
	most := min(len(buf), length) / n * n
	if n == 1 {
		for i := range most {
			buf[i] = period[0]
		}
		return most
	}
	for at := 0; at < most; at += n {
		copy(buf[at:at+n], period)
	}
	return most
}

// rows is chunks over rows that hold size elements in all.
func (f *frame) rows(rows, size int, body func(from, to int)) {
	if f.s.workers.threads == 1 || size <= chunk || rows == 1 {
		f.do(1, func(_, _ int) { body(0, rows) })
		return
	}
	parts := min(rows, (size+chunk-1)/chunk)
	f.do(parts, func(_, i int) { body(rows*i/parts, rows*(i+1)/parts) })
}

package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// attention is softmax(scale*(Q K^T) + mask) V as one step: for a head and a
// block of rows at a time, so that the scores never leave the cache. Transposes of the
// operands and of the result are strides of what is read and written.
type attention struct {
	q, k, v  *attentionOperand
	scales   []attentionScale // of the scores
	mask     int              // its input, -1 if none
	outPerm  []int            // of the result, nil if it is as it is
	rank     int
	parts    [4]strided // q, k, v and the result, of this run
	maskView strided
}

// attentionOperand is input number in, transposed by perm unless that is nil,
// times scalars.
type attentionOperand struct {
	in     int
	perm   []int
	scales []attentionScale
}

// attentionScale is the input that holds a factor, or a divisor.
type attentionScale struct {
	in     int
	divide bool
}

// strided is a tensor's elements with a stride for each axis of a view.
type strided struct {
	data   []float32
	stride []int
}

// matchAttention covers MatMul(Softmax(scores), V), the scores MatMul(Q, K^T) with factors and a mask, and the
// transposes around it.
func matchAttention(l *lowerer, n *graph.Node) *lowered {
	a := &attention{mask: -1}
	f := &lowered{out: n.Outputs(), run: a.run}
	root := n
	if n.Is("Transpose") {
		if !l.hidden(n.In(0)) || l.float32Rank(n.In(0)) < 3 {
			return nil
		}
		root = n.In(0).Def()
		if a.outPerm = l.perm(n, l.float32Rank(n.In(0))); a.outPerm == nil || a.outPerm[len(a.outPerm)-1] != len(a.outPerm)-1 {
			return nil
		}
		f.nodes = append(f.nodes, n)
	}
	if !root.Is("MatMul") || !l.hidden(root.In(0)) || !root.In(0).Def().Is("Softmax") {
		return nil
	}
	soft := root.In(0).Def()
	a.rank = l.float32Rank(soft.In(0))
	attrs, ok := l.attrs(soft)
	if !ok || a.rank < 3 || a.rank > 5 || a.rank != l.float32Rank(root.In(1)) {
		return nil
	}
	if axis, ok := op.Axis(attrs.Int("axis"), a.rank); !ok || axis != a.rank-1 {
		return nil
	}
	f.nodes = append(f.nodes, root, soft)
	scores := a.scores(l, f, soft.In(0))
	if scores == nil || l.float32Rank(scores.In(0)) != a.rank || l.float32Rank(scores.In(1)) != a.rank || l.inIntegers(root) || l.inIntegers(scores) {
		return nil
	}
	a.q = a.operand(l, f, scores.In(0))
	a.k = a.operand(l, f, scores.In(1))
	a.v = a.operand(l, f, root.In(1))
	slices.SortStableFunc(f.nodes, func(x, y *graph.Node) int {
		switch {
		case x == y:
			return 0
		case later(x.Out(0), y.Out(0)):
			return 1
		}
		return -1
	})
	return f
}

// scores follows factors and a mask back from v to the product of Q and K^T,
// nil if there is none.
func (a *attention) scores(l *lowerer, f *lowered, v *graph.Value) *graph.Node {
	for range 4 {
		if !l.hidden(v) {
			return nil
		}
		d := v.Def()
		f.nodes = append(f.nodes, d)
		if d.Is("MatMul") {
			return d
		}
		if x, s := a.scaled(l, f, d); x != nil {
			a.scales = append(a.scales, s)
			v = x
			continue
		}
		if !d.Is("Add") || a.mask >= 0 || len(a.scales) > 0 || l.opset("") < 7 {
			return nil
		}
		next := -1
		for i := range 2 {
			if x := d.In(i); l.hidden(x) && x.Def().Is("MatMul", "Mul", "Div") && l.float32Rank(x) == a.rank && (next < 0 || later(x, d.In(next))) {
				next = i
			}
		}
		if next < 0 {
			return nil
		}
		mask := d.In(1 - next)
		if r := l.float32Rank(mask); r < 0 || r > a.rank {
			return nil
		}
		a.mask = a.input(f, mask)
		v = d.In(next)
	}
	return nil
}

// scaled splits x*s or x/s, s of rank 0 or 1; x is nil for other nodes.
func (a *attention) scaled(l *lowerer, f *lowered, d *graph.Node) (*graph.Value, attentionScale) {
	if !d.Is("Mul", "Div") || l.opset("") < 7 {
		return nil, attentionScale{}
	}
	for i := range 2 {
		if s := d.In(1 - i); l.float32Rank(d.In(i)) == a.rank && (i == 0 || d.Is("Mul")) {
			if r := l.float32Rank(s); r == 0 || r == 1 {
				return d.In(i), attentionScale{a.input(f, s), d.Is("Div")}
			}
		}
	}
	return nil, attentionScale{}
}

// operand takes factors and a Transpose before v in.
func (a *attention) operand(l *lowerer, f *lowered, v *graph.Value) *attentionOperand {
	o := &attentionOperand{}
	for range 2 {
		if !l.hidden(v) {
			break
		}
		x, s := a.scaled(l, f, v.Def())
		if x == nil {
			break
		}
		o.scales = append(o.scales, s)
		f.nodes = append(f.nodes, v.Def())
		v = x
	}
	if l.hidden(v) && v.Def().Is("Transpose") {
		if o.perm = l.perm(v.Def(), a.rank); o.perm != nil {
			f.nodes = append(f.nodes, v.Def())
			v = v.Def().In(0)
		}
	}
	o.in = a.input(f, v)
	return o
}

func (a *attention) input(f *lowered, v *graph.Value) int {
	f.in = append(f.in, v)
	return len(f.in) - 1
}

// perm is the permutation of a Transpose of some rank, nil if it is not one.
func (l *lowerer) perm(n *graph.Node, rank int) []int {
	attrs, ok := l.attrs(n)
	if !ok {
		return nil
	}
	perm := attrs.Ints("perm")
	if perm == nil {
		for i := range rank {
			perm = append(perm, rank-1-i)
		}
	}
	if !slices.Equal(slices.Sorted(slices.Values(perm)), upTo(rank)) {
		return nil
	}
	return perm
}

// view is the operand as its transposed form, and the product of its factors.
func (o *attentionOperand) view(t []*tensor.Tensor) (s strided, shape []int, factor float32, ok bool) {
	x := t[o.in]
	s.data, s.stride, shape = x.Float32s(), tensor.Strides(x.Shape), x.Shape
	if o.perm != nil {
		if x.Rank() != len(o.perm) {
			return s, nil, 0, false
		}
		from := s.stride
		s.stride, shape = make([]int, len(o.perm)), make([]int, len(o.perm))
		for i, p := range o.perm {
			s.stride[i], shape[i] = from[p], x.Shape[p]
		}
	}
	factor, ok = factors(o.scales, t)
	return s, shape, factor, ok
}

// factors is the product of scalars; false if one is no scalar.
func factors(scales []attentionScale, t []*tensor.Tensor) (float32, bool) {
	f := float32(1)
	for _, s := range scales {
		if t[s.in].Len() != 1 {
			return 0, false
		}
		if v := t[s.in].Float32s()[0]; s.divide {
			f /= v
		} else {
			f *= v
		}
	}
	return f, true
}

func (a *attention) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	t, ok := float32In(in)
	if !ok {
		return nil, errFallback
	}
	var shapes [3][]int
	var scale [4]float32 // of q, k, v and the scores
	for i, o := range []*attentionOperand{a.q, a.k, a.v} {
		if a.parts[i], shapes[i], scale[i], ok = o.view(t); !ok || len(shapes[i]) != a.rank {
			return nil, errFallback
		}
	}
	for _, scales := range [][]attentionScale{a.q.scales, a.k.scales, a.v.scales, a.scales} {
		for _, s := range scales {
			f.reads(s.in)
		}
	}
	if scale[3], ok = factors(a.scales, t); !ok {
		return nil, errFallback
	}
	b := a.rank - 2
	q, k, v := shapes[0], shapes[1], shapes[2]
	batch, rows, depth, keys, width := q[:b], q[b], q[b+1], k[b+1], v[b+1]
	if !slices.Equal(batch, k[:b]) || !slices.Equal(batch, v[:b]) || depth != k[b] || keys != v[b] || volume(q)*volume(v)*keys == 0 {
		return nil, errFallback
	}
	scoreShape := append(slices.Clone(batch), rows, keys)
	if a.mask >= 0 {
		m := t[a.mask]
		if s, err := tensor.Broadcast(scoreShape, m.Shape); err != nil || !slices.Equal(s, scoreShape) {
			return nil, errFallback
		}
		a.maskView = strided{m.Float32s(), broadcastStrides(m.Shape, a.rank)}
	}
	logical := append(slices.Clone(batch), rows, width)
	shape := logical
	if a.outPerm != nil {
		shape = make([]int, a.rank)
		for i, p := range a.outPerm {
			shape[i] = logical[p]
		}
	}
	out, y := f.floats(shape...)
	strides := tensor.Strides(shape)
	if a.outPerm != nil {
		from := strides
		strides = make([]int, a.rank)
		for i, p := range a.outPerm {
			strides[p] = from[i]
		}
	}
	a.parts[3] = strided{y, strides}
	heads := volume(batch)
	f.work += 2 * int64(heads*rows*keys) * int64(depth+width)
	w := f.s.workers
	split := 1 // of the rows of a head
	if w.threads > 1 && heads%w.threads != 0 && heads < 4*w.threads {
		split = min((rows+attentionRows-1)/attentionRows, 2*w.threads)
	}
	f.do(heads*split, func(worker, part int) {
		h := &attentionHead{a: a, rows: rows, depth: depth, keys: keys, width: width, scale: scale}
		h.place(batch, part/split)
		h.run(w, worker, rows*(part%split)/split, rows*(part%split+1)/split)
	})
	return f.one(out)
}

// attentionRows is the rows of a block.
const attentionRows = 56

// attentionHead is the work on one index of the leading axes.
type attentionHead struct {
	a                         *attention
	rows, depth, keys, width  int
	scale                     [4]float32
	at                        [4]int // where q, k, v and the result begin
	mask                      int
	packedK, packedV, q, sums []float32
}

// place finds head i.
func (h *attentionHead) place(batch []int, i int) {
	for d := len(batch) - 1; d >= 0; d-- {
		k := i % batch[d]
		i /= batch[d]
		for p := range h.at {
			h.at[p] += k * h.a.parts[p].stride[d]
		}
		if h.a.mask >= 0 {
			h.mask += k * h.a.maskView.stride[d]
		}
	}
}

// run computes the rows [from, to).
func (h *attentionHead) run(w *workers, worker, from, to int) {
	b := h.a.rank - 2
	lanes := func(n int) int { return kernel.Panels(n) * kernel.Lanes }
	block := min(attentionRows, to-from)
	line := lanes(h.keys)
	sizes := [4]int{lanes(h.keys) * h.depth, lanes(h.width) * h.keys, lanes(block * h.depth), block * line}
	buf := w.buffer(worker, sizes[0]+sizes[1]+sizes[2]+sizes[3])
	for i, p := range []*[]float32{&h.packedK, &h.packedV, &h.q, &h.sums} {
		*p, buf = buf[:sizes[i]], buf[sizes[i]:]
	}
	q, k, v, y := &h.a.parts[0], &h.a.parts[1], &h.a.parts[2], &h.a.parts[3]
	kernel.PackB(h.packedK, k.data[h.at[1]:], h.depth, h.keys, k.stride[b], k.stride[b+1])
	kernel.PackB(h.packedV, v.data[h.at[2]:], h.keys, h.width, v.stride[b], v.stride[b+1])
	times(h.packedK, h.scale[1])
	times(h.packedV, h.scale[2])
	for r := from; r < to; r += block {
		n := min(block, to-r)
		src, lda := q.data[h.at[0]+r*q.stride[b]:], q.stride[b]
		if h.scale[0] != 1 || q.stride[b+1] != 1 {
			h.copyRows(src, n, q.stride[b], q.stride[b+1])
			src, lda = h.q, h.depth
		}
		g := kernel.Gemm{Groups: 1, Rows: n, N: h.keys, K: h.depth, A: src, Lda: lda, B: h.packedK, C: h.sums, Ldc: line}
		g.Run(0, 1, 0, h.keys)
		for i := range n {
			s := h.sums[i*line : (i+1)*line]
			times(s[:h.keys], h.scale[3])
			if h.a.mask >= 0 {
				h.addMask(s[:h.keys], r+i)
			}
			fillFloats(s[h.keys:], negInf) // whole vectors: e to that is 0
			softmax(s, s, false)
		}
		g = kernel.Gemm{Groups: 1, Rows: n, N: h.width, K: h.keys, A: h.sums, Lda: line, B: h.packedV,
			C: y.data[h.at[3]+r*y.stride[b]:], Ldc: y.stride[b]}
		g.Run(0, 1, 0, h.width)
	}
}

// copyRows puts n rows of Q times its factor into h.q.
func (h *attentionHead) copyRows(src []float32, n, row, step int) {
	for i := range n {
		d := h.q[i*h.depth : (i+1)*h.depth]
		if s := src[i*row:]; step == 1 {
			copy(d, s)
		} else {
			for j := range d {
				d[j] = s[j*step]
			}
		}
	}
	times(h.q[:n*h.depth], h.scale[0])
}

// addMask adds row r of the mask.
func (h *attentionHead) addMask(s []float32, r int) {
	b, m := h.a.rank-2, &h.a.maskView
	row := m.data[h.mask+r*m.stride[b]:]
	if m.stride[b+1] == 1 {
		kernel.Add.Apply(s, s, row[:len(s)])
	} else {
		kernel.Function{Kind: kernel.Line, A: 1, B: row[0], Lo: negInf, Hi: -negInf}.Apply(s, s)
	}
}

func times(x []float32, factor float32) {
	if factor != 1 {
		kernel.Function{Kind: kernel.Line, A: factor, Lo: negInf, Hi: -negInf}.Apply(x, x)
	}
}

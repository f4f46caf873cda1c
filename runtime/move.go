package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// Fast paths of operators that move elements and compute none, for every type
// of whole bytes.

// wholeBytes is the tensors of in; false if one is missing, no tensor, or of
// a type that is not whole bytes or not that of the first.
func wholeBytes(in []tensor.Value) ([]*tensor.Tensor, bool) {
	out := make([]*tensor.Tensor, len(in))
	for i, v := range in {
		t, ok := v.(*tensor.Tensor)
		if !ok || t.Type == tensor.String || t.Type.Bits() < 8 || t.Type != in[0].(*tensor.Tensor).Type {
			return nil, false
		}
		out[i] = t
	}
	return out, true
}

// rankOf is the rank of v, -1 if it is not known.
func (l *lowerer) rankOf(v *graph.Value) int {
	if c := v.Const(); c != nil {
		return c.Rank()
	}
	if t := l.typeOf(v); t.Kind == graph.TensorKind && t.Ranked {
		return len(t.Shape)
	}
	return -1
}

// matchTranspose covers Transpose. One between the two layouts of a value
// moves nothing.
func matchTranspose(l *lowerer, n *graph.Node) *lowered {
	rank := l.rankOf(n.In(0))
	if !n.Is("Transpose") || rank < 1 {
		return nil
	}
	perm := l.perm(n, rank)
	if perm == nil {
		return nil
	}
	f := &lowered{in: n.Inputs(), out: n.Outputs()}
	same := false
	toLast, toPlain := slices.Equal(perm, layoutPerm(rank, true)), slices.Equal(perm, layoutPerm(rank, false))
	f.place = func(b *builder) {
		if rank < 3 || rank > 5 || l.float32Rank(n.In(0)) < 0 {
			return
		}
		if _, last := b.isLast(n.In(0)); last && toLast {
			f.inLast, same = []int{rank}, true
		} else if !last && toPlain {
			f.outLast, same = rank, true
		}
	}
	f.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := wholeBytes(in)
		if !ok || t[0].Rank() != rank {
			return nil, errFallback
		}
		if same {
			return f.one(t[0])
		}
		shape, strides := make([]int, rank), make([]int, rank)
		for i, s := range perm {
			shape[i], strides[i] = t[0].Shape[s], tensor.Strides(t[0].Shape)[s]
		}
		out := f.new(t[0].Type, shape...)
		f.move(out.Bytes(), t[0].Bytes(), t[0].Type.Bits()/8, shape, tensor.Strides(shape), strides)
		return f.one(out)
	}
	return f
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// layoutPerm is the permutation that makes a tensor channels last, or back.
func layoutPerm(rank int, last bool) []int {
	if rank < 2 {
		return upTo(rank)
	}
	p := make([]int, rank)
	for i := range p {
		if last {
			p[lastAxis(i, rank)] = i
		} else {
			p[i] = lastAxis(i, rank)
		}
	}
	return p
}

// move copies an array of the shape between two placements, whose strides
// count elements of size bytes.
func (f *frame) move(dst, src []byte, size int, shape, to, from []int) {
	var dims, d, s []int
	for i, n := range shape {
		if n == 0 {
			return
		}
		if n == 1 {
			continue
		}
		if k := len(dims) - 1; k >= 0 && d[k] == to[i]*n && s[k] == from[i]*n {
			dims[k] *= n
			d[k], s[k] = to[i], from[i]
			continue
		}
		dims, d, s = append(dims, n), append(d, to[i]), append(s, from[i])
	}
	if len(dims) == 0 {
		f.do(1, func(_, _ int) { copy(dst[:size], src[:size]) })
		return
	}
	inner := len(dims) - 1
	if inner >= 2 && d[inner] == 1 && s[inner] != 1 { // an axis consecutive in src next to it
		if k := slices.Index(s, 1); k >= 0 && k < inner-1 {
			dims, d, s = swapAxes(dims, k, inner-1), swapAxes(d, k, inner-1), swapAxes(s, k, inner-1)
		}
	}
	m := mover{size: size, dims: dims, d: d, s: s}
	outer := volume(dims[:inner])
	if inner > 0 && d[inner] == 1 && s[inner-1] == 1 {
		m.plane = true
		outer = volume(dims[:inner-1])
	}
	total := volume(dims) * size / 4
	f.rows(outer, total, func(a, b int) { m.run(dst, src, a, b) })
}

func swapAxes(v []int, a, b int) []int {
	v[a], v[b] = v[b], v[a]
	return v
}

type mover struct {
	size       int
	dims, d, s []int
	plane      bool // the two inner axes are transposed
}

// run copies the outer indices [from, to).
func (m *mover) run(dst, src []byte, from, to int) {
	inner := len(m.dims) - 1
	outer := m.dims[:inner]
	if m.plane {
		outer = m.dims[:inner-1]
	}
	for i := from; i < to; i++ {
		at, of := 0, 0
		for k, rest := len(outer)-1, i; k >= 0; k-- {
			j := rest % outer[k]
			rest /= outer[k]
			at, of = at+j*m.d[k], of+j*m.s[k]
		}
		a, b := dst[at*m.size:], src[of*m.size:]
		switch {
		case m.plane:
			kernel.TransposeStrided(a, b, m.dims[inner], m.dims[inner-1], m.d[inner-1], m.s[inner], m.size)
		case m.d[inner] == 1 && m.s[inner] == 1:
			copy(a[:m.dims[inner]*m.size], b)
		default:
			n, p, q := m.dims[inner], m.d[inner]*m.size, m.s[inner]*m.size
			for j := range n {
				copy(a[j*p:j*p+m.size], b[j*q:j*q+m.size])
			}
		}
	}
}

// matchConcat covers Concat, in either layout.
func matchConcat(l *lowerer, n *graph.Node) *lowered {
	rank := l.rankOf(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("Concat") || !ok || rank < 1 {
		return nil
	}
	axis, ok := op.Axis(attrs.Int("axis"), rank)
	if !ok {
		return nil
	}
	f := &lowered{in: n.Inputs(), out: n.Outputs()}
	f.place = func(b *builder) {
		last := false
		for _, v := range f.in {
			if l.float32Rank(v) != rank {
				return
			}
			_, is := b.isLast(v)
			last = last || is
		}
		if last {
			f.outLast, f.inLast = rank, slices.Repeat([]int{rank}, len(f.in))
		}
	}
	f.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		if _, ok := in[0].(*tensor.Tensor); !ok {
			return nil, errFallback
		}
		t, ok := wholeBytes(in)
		if !ok {
			return nil, errFallback
		}
		at := axis
		if f.outLast > 0 {
			at = lastAxis(axis, rank)
		}
		shape := slices.Clone(t[0].Shape)
		shape[at] = 0
		for _, x := range t {
			if x.Rank() != rank || !slices.Equal(x.Shape[:at], shape[:at]) || !slices.Equal(x.Shape[at+1:], shape[at+1:]) {
				return nil, errFallback
			}
			shape[at] += x.Shape[at]
		}
		out := fr.new(t[0].Type, shape...)
		size := t[0].Type.Bits() / 8
		outer, row := volume(shape[:at]), volume(shape[at:])*size
		fr.rows(outer, outer*row/4, func(first, end int) {
			from := 0
			for _, x := range t {
				n := x.Len() / max(outer, 1) * size
				for i := first; i < end; i++ {
					copy(out.Bytes()[i*row+from:i*row+from+n], x.Bytes()[i*n:])
				}
				from += n
			}
		})
		return fr.one(out)
	}
	return f
}

// matchSplit covers Split, in either layout.
func matchSplit(l *lowerer, n *graph.Node) *lowered {
	rank := l.rankOf(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("Split") || !ok || rank < 1 || attrs.Since < 2 {
		return nil
	}
	axis, ok := op.Axis(attrs.Int("axis"), rank)
	if !ok {
		return nil
	}
	given := attrs.Ints("split")
	if v := n.In(1); v != nil {
		c := l.constant(v)
		if c == nil || !c.Type.IsInt() {
			return nil
		}
		for _, k := range c.Ints() {
			given = append(given, int(k))
		}
	}
	f := &lowered{in: n.Inputs()[:1], out: n.Outputs(), nodes: []*graph.Node{n}}
	if l.float32Rank(n.In(0)) == rank {
		keepLayout(f)
	}
	f.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		if _, ok := in[0].(*tensor.Tensor); !ok {
			return nil, errFallback
		}
		t, ok := wholeBytes(in)
		if !ok || t[0].Rank() != rank {
			return nil, errFallback
		}
		x, at := t[0], axis
		if f.outLast > 0 {
			at = lastAxis(axis, rank)
		}
		sizes := given
		if sizes == nil {
			sizes = make([]int, len(f.out))
			each := (x.Shape[at] + len(f.out) - 1) / len(f.out)
			for i := range sizes {
				sizes[i] = max(min(each, x.Shape[at]-i*each), 0)
			}
		}
		total := 0
		for _, s := range sizes {
			total += s
		}
		if total != x.Shape[at] || len(sizes) != len(f.out) {
			return nil, errFallback
		}
		size := x.Type.Bits() / 8
		outer, row, from := volume(x.Shape[:at]), volume(x.Shape[at:])*size, 0
		out := make([]tensor.Value, len(sizes))
		for k, s := range sizes {
			shape := slices.Clone(x.Shape)
			shape[at] = s
			y := fr.new(x.Type, shape...)
			n, start := volume(shape[at:])*size, from
			fr.rows(outer, outer*n/4, func(first, end int) {
				for i := first; i < end; i++ {
					copy(y.Bytes()[i*n:(i+1)*n], x.Bytes()[i*row+start:])
				}
			})
			from += n
			out[k] = y
		}
		return out, nil
	}
	return f
}

// matchSlice covers Slice with positive steps, in either layout.
func matchSlice(l *lowerer, n *graph.Node) *lowered {
	rank := l.rankOf(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("Slice") || !ok || rank < 1 || attrs.Since < 10 {
		return nil
	}
	f := &lowered{in: n.Inputs(), out: n.Outputs()}
	if l.float32Rank(n.In(0)) == rank {
		keepLayout(f)
	}
	f.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		if !ok || x.Type == tensor.String || x.Type.Bits() < 8 || x.Rank() != rank {
			return nil, errFallback
		}
		p, ok := sliceBounds(in, rank)
		if !ok {
			return nil, errFallback
		}
		for i := range p {
			fr.reads(1 + i)
		}
		shape, strides, first := slices.Clone(x.Shape), tensor.Strides(x.Shape), 0
		for i := range p[0] {
			axis, _ := op.Axis(int(p[2][i]), rank)
			if f.outLast > 0 {
				axis = lastAxis(axis, rank)
			}
			size := int64(x.Shape[axis])
			clamp := func(v int64) int64 {
				if v < 0 {
					v += size
				}
				return min(max(v, 0), size)
			}
			start, end := clamp(p[0][i]), clamp(p[1][i])
			step := min(p[3][i], size+1)
			shape[axis] = int(max(0, (end-start+step-1)/step))
			first += int(start) * strides[axis]
			strides[axis] *= int(step)
		}
		out := fr.new(x.Type, shape...)
		size := x.Type.Bits() / 8
		if out.Len() > 0 {
			fr.move(out.Bytes(), x.Bytes()[first*size:], size, shape, tensor.Strides(shape), strides)
		}
		return fr.one(out)
	}
	return f
}

// sliceBounds is starts, ends, axes and steps; false unless they are complete,
// the steps positive and the axes distinct.
func sliceBounds(in []tensor.Value, rank int) (p [4][]int64, ok bool) {
	for i := range p {
		if i+1 >= len(in) || in[i+1] == nil {
			continue
		}
		t, ok := in[i+1].(*tensor.Tensor)
		if !ok || t.Type != tensor.Int64 && t.Type != tensor.Int32 {
			return p, false
		}
		p[i] = t.Ints()
	}
	if p[2] == nil {
		for i := range p[0] {
			p[2] = append(p[2], int64(i))
		}
	}
	if p[3] == nil {
		p[3] = slices.Repeat([]int64{1}, len(p[0]))
	}
	if len(p[0]) != len(p[1]) || len(p[0]) != len(p[2]) || len(p[0]) != len(p[3]) {
		return p, false
	}
	seen := make([]bool, rank)
	for i, a := range p[2] {
		axis, ok := op.Axis(int(a), rank)
		if !ok || p[3][i] < 1 || seen[axis] {
			return p, false
		}
		seen[axis] = true
	}
	return p, true
}

// matchGather covers Gather.
func matchGather(l *lowerer, n *graph.Node) *lowered {
	rank := l.rankOf(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("Gather") || !ok || rank < 1 {
		return nil
	}
	axis, ok := op.Axis(attrs.Int("axis"), rank)
	if !ok {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		idx, ok2 := in[1].(*tensor.Tensor)
		if !ok || !ok2 || x.Type == tensor.String || x.Type.Bits() < 8 || x.Rank() != rank || idx.Type != tensor.Int64 && idx.Type != tensor.Int32 {
			return nil, errFallback
		}
		out := f.new(x.Type, slices.Concat(x.Shape[:axis], idx.Shape, x.Shape[axis+1:])...)
		n, size := volume(x.Shape[axis+1:])*x.Type.Bits()/8, x.Shape[axis]
		row, count := size*n, idx.Len()
		f.rows(volume(x.Shape[:axis])*count, out.Len(), func(from, to int) {
			for i := from; i < to; i++ {
				at, ok := indexAt(idx, i%count, size)
				if !ok {
					panic(errFallback) // the reference says which
				}
				copy(out.Bytes()[i*n:(i+1)*n], x.Bytes()[i/count*row+at*n:])
			}
		})
		return f.one(out)
	}}
}

// indexAt is element i of int32 or int64 indices into size places, counted from
// the end if negative; false if it is outside.
func indexAt(idx *tensor.Tensor, i, size int) (int, bool) {
	var k int64
	if idx.Type == tensor.Int32 {
		k = int64(tensor.View[int32](idx)[i])
	} else {
		k = tensor.View[int64](idx)[i]
	}
	if k < 0 {
		k += int64(size)
	}
	return int(k), k >= 0 && k < int64(size)
}

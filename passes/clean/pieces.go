package clean

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/rewrite"
)

// maxIndex bounds the index of a Gather that stands for a Concat of Slices.
const maxIndex = 4096

// gatherPieces makes a Concat of at least two Slices of one value, along the
// axis that they cut, one Gather of the rows that they take: how rolls and
// shuffles are exported.
func gatherPieces(e *rewrite.Editor, n *graph.Node) {
	if len(n.Inputs()) < 2 || rewrite.Alone(n.In(0), "Slice") == nil {
		return
	}
	x := n.In(0).Def().In(0)
	rank := e.Rank(x)
	if rank < 1 {
		return
	}
	axis := (int(n.Int("axis", 0)) + rank) % rank
	size, ok := e.Type(x).Shape[axis].Const()
	if !ok {
		return
	}
	var rows []int64
	for _, v := range n.Inputs() {
		s := rewrite.Alone(v, "Slice")
		if s == nil || s.In(0) != x {
			return
		}
		c, ok := sliceOf(e, s)
		if !ok || len(c.axes) != 1 || c.axes[0] != int64(axis) {
			return
		}
		rows = append(rows, sliceRows(c.starts[0], c.ends[0], c.steps[0], size)...)
		if len(rows) > maxIndex {
			return
		}
	}
	if len(rows) == 0 || !e.Allow() {
		return
	}
	y := e.Add(n, "Gather", []*graph.Value{x, e.Const(n, tensor.Vector(rows...))}, graph.Int("axis", int64(axis)))
	e.Replace(n, n.Out(0), y, "rows of %d Slices gathered", len(n.Inputs()))
}

// sliceRows is the rows that a Slice takes of an axis of the size.
func sliceRows(start, end, step, size int64) []int64 {
	clamp := func(v, lo, hi int64) int64 {
		if v < 0 {
			v += size
		}
		return min(max(v, lo), hi)
	}
	var rows []int64
	switch {
	case step > 0:
		start, end = clamp(start, 0, size), clamp(end, 0, size)
		for i := start; i < end; i += step {
			rows = append(rows, i)
		}
	case step < 0:
		start = clamp(start, 0, size-1)
		if end < -size {
			end = -1
		} else {
			end = clamp(end, -1, size-1)
		}
		for i := start; i > end; i += step {
			rows = append(rows, i)
		}
	}
	return rows
}

// spaceToDepth makes a Concat of the Slices of every second (third, ...) row
// and column one SpaceToDepth, and a Gather that orders its blocks as the
// Concat did.
func spaceToDepth(e *rewrite.Editor, n *graph.Node) {
	first := rewrite.Alone(n.In(0), "Slice")
	if first == nil || n.Int("axis", 0) != 1 {
		return
	}
	x := first.In(0)
	shape, ok := e.Type(x).Static()
	if !ok || len(shape) != 4 {
		return
	}
	s, ok := sliceOf(e, first)
	if !ok || len(s.steps) != 2 || s.steps[0] < 2 || int(s.steps[0]*s.steps[0]) != len(n.Inputs()) {
		return
	}
	block := s.steps[0]
	if shape[2]%int(block) != 0 || shape[3]%int(block) != 0 {
		return
	}
	order, sorted := blockOrder(e, n, x, shape, block)
	if order == nil || !e.Allow() {
		return
	}
	y := e.Add(n, "SpaceToDepth", []*graph.Value{x}, graph.Int("blocksize", block))
	if !sorted {
		var channels []int64
		for _, k := range order {
			for c := range int64(shape[1]) {
				channels = append(channels, k*int64(shape[1])+c)
			}
		}
		y = e.Add(n, "Gather", []*graph.Value{y, e.Const(n, tensor.Vector(channels...))}, graph.Int("axis", 1))
	}
	e.Replace(n, n.Out(0), y, "blocks of %d Slices are SpaceToDepth", len(n.Inputs()))
}

// blockOrder is the place within a block, row by row, that each input of the
// Concat n takes; nil unless each takes another one.
func blockOrder(e *rewrite.Editor, n *graph.Node, x *graph.Value, shape []int, block int64) (order []int64, sorted bool) {
	seen := map[int64]bool{}
	sorted = true
	for i, v := range n.Inputs() {
		d := rewrite.Alone(v, "Slice")
		if d == nil || d.In(0) != x {
			return nil, false
		}
		s, ok := sliceOf(e, d)
		if !ok || len(s.axes) != 2 || s.steps[0] != block || s.steps[1] != block {
			return nil, false
		}
		at := map[int64]int64{}
		for k, a := range s.axes {
			if a != 2 && a != 3 || s.starts[k] < 0 || s.starts[k] >= block || s.ends[k] < int64(shape[a])-block+s.starts[k]+1 {
				return nil, false
			}
			at[a] = s.starts[k]
		}
		k := at[2]*block + at[3]
		if len(at) != 2 || seen[k] {
			return nil, false
		}
		seen[k] = true
		order = append(order, k)
		sorted = sorted && k == int64(i)
	}
	return order, sorted
}

// permuteWeights lets a convolution read the channels in the order in which
// they are before a Gather that only reorders them.
func permuteWeights(e *rewrite.Editor, n *graph.Node) {
	g := rewrite.Alone(n.In(0), "Gather")
	w := n.In(1).Const()
	if g == nil || g.Int("axis", 0) != 1 || n.Int("group", 1) != 1 || w == nil || n.In(1).Only() == nil || w.Rank() < 2 || w.Type.Bits()%8 != 0 {
		return
	}
	t := e.Shape.Const(g.In(1))
	x := g.In(0)
	rank := e.Rank(x)
	if t == nil || t.Rank() != 1 || t.Len() != w.Shape[1] || rank < 2 || !e.Type(x).Shape[1].Is(int64(t.Len())) || !g.Out(0).CanReplace(x) {
		return
	}
	from := make([]int, t.Len()) // where the weights of channel c of x stand
	for i := range from {
		from[i] = -1
	}
	for i, k := range t.Ints() {
		if k < 0 || from[k] >= 0 {
			return
		}
		from[k] = i
	}
	if !e.Allow() {
		return
	}
	inner := w.Len() / (w.Shape[0] * w.Shape[1])
	row := inner * w.Shape[1]
	p, err := tensor.Gather(w, w.Shape, op.DefaultMaxBytes, func(i int) int { return i/row*row + from[i/inner%w.Shape[1]]*inner + i%inner })
	if err != nil {
		return
	}
	d := *n.In(1).Data
	d.Tensor = p
	n.In(1).Data = &d
	e.Replace(g, g.Out(0), x, "order of channels taken over by %s", n.Title())
}

package clean

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/rewrite"
)

// maxIndex bounds the index of a Gather that stands for a Concat of Slices.
const maxIndex = 4096

// gatherPieces makes a Concat of at least two Slices of one value, along the
// axis that they cut, one Gather of the rows that they take: how rolls and
// shuffles are exported.
func gatherPieces(e *rewrite.Editor, n *graph.Node) {
	if len(n.Inputs()) < 2 || alone(n.In(0), "Slice") == nil {
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
		s := alone(v, "Slice")
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

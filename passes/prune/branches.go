package prune

import (
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
)

// Branch is one side of a residual addition, which computes nothing else: the
// inside of a block, or a projection beside it.
type Branch struct {
	add   *graph.Node
	side  int // of the inputs of add
	Nodes []*graph.Node
}

// Branches is the branches of m that hold weights and whose other side has the
// shape of the sum.
func Branches(m *graph.Model) []Branch {
	s := shape.Infer(m)
	var out []Branch
	for n := range m.Graph.Nodes() {
		if !n.Is("Add") || n.Out(0).IsOutput() {
			continue
		}
		for side := range 2 {
			other := n.In(1 - side)
			if other.Const() != nil || !sameShape(s, other, n.Out(0)) {
				continue
			}
			b := Branch{add: n, side: side, Nodes: only(n, side)}
			if slices.ContainsFunc(b.Nodes, func(x *graph.Node) bool {
				return x.Is("Conv", "Gemm", "MatMul") && x.In(1).Const() != nil
			}) {
				out = append(out, b)
			}
		}
	}
	return out
}

func sameShape(s *shape.Info, a, b *graph.Value) bool {
	x, y := s.Type(a), s.Type(b)
	return x.Ranked && y.Ranked && slices.EqualFunc(x.Shape, y.Shape, dim.Dim.Equal)
}

// only is the nodes behind an input of n that nothing but it reads.
func only(n *graph.Node, side int) []*graph.Node {
	in := map[*graph.Node]bool{}
	mine := func(u graph.Use) bool { return in[u.Node] || u.Node == n && u.Index == side }
	var out []*graph.Node
	queue := []*graph.Value{n.In(side)}
	for len(queue) > 0 { // a node comes again with each of its readers, the last of which completes it
		d := queue[0].Def()
		queue = queue[1:]
		if d == nil || in[d] || d.Graph() != n.Graph() || slices.ContainsFunc(d.Outputs(), func(o *graph.Value) bool {
			return o != nil && (o.IsOutput() || slices.ContainsFunc(o.Uses(), func(u graph.Use) bool { return !mine(u) }))
		}) {
			continue
		}
		in[d] = true
		out = append(out, d)
		for _, x := range d.Inputs() {
			if x != nil {
				queue = append(queue, x)
			}
		}
	}
	return out
}

// Remove replaces the sum by its other side. The nodes of the branch are then
// dead code.
func (b Branch) Remove() {
	b.add.Out(0).ReplaceNodeUses(b.add.In(1 - b.side))
}

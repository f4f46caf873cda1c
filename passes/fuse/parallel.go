package fuse

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Parallel computes branches of one vector per sample that differ only in their
// weights, such as the squeeze-and-excitation gates of a feature pyramid's
// levels, as one: the vectors side by side, convolved in groups,
//
//	Conv(x1, W1), Conv(x2, W2) = Split(Conv<group = 2>(Concat(x1, x2), [W1; W2]))
//
// which takes a fraction of the nodes for the same work. The results must not
// wait for one another.
var Parallel = pass.Pass{
	Name:   "join-parallel",
	Doc:    "compute equal branches of 1x1 convolutions of one vector a sample, such as the gates of a feature pyramid, as one of groups",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		if m.Opset("") < 7 {
			return nil
		}
		return joinAll(&rewrite.Editor{Context: c, Model: m, Shape: c.Shapes()}, m.Graph)
	},
}

// joinAll joins branches of g and of its subgraphs until none are left to join.
func joinAll(e *rewrite.Editor, g *graph.Graph) error {
	for group := nextGroup(e, g); group != nil; group = nextGroup(e, g) {
		join(e, g, group)
		if err := g.Sort(); err != nil { // readers of the first results may stand before the last inputs
			return err
		}
	}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			if err := joinAll(e, sub); err != nil {
				return err
			}
		}
	}
	return nil
}

// nextGroup is branches that are fewer nodes as one, nil if there are none.
func nextGroup(e *rewrite.Editor, g *graph.Graph) []*branch {
	starts := branches(e, g)
	for n := range g.Nodes() {
		if b := starts[n]; b != nil {
			if group := independent(e, b, starts); len(group)*len(b.nodes) > len(b.nodes)+2 && e.Allow() {
				return group
			}
		}
	}
	return nil
}

// branch is a chain of nodes from a 1x1 convolution on, each the only reader of
// the one before. Branches of one key differ only in the values of weights.
type branch struct {
	nodes []*graph.Node
	key   string
}

func (b *branch) x() *graph.Value   { return b.nodes[0].In(0) }
func (b *branch) last() *graph.Node { return b.nodes[len(b.nodes)-1] }
func (b *branch) y() *graph.Value   { return b.last().Out(0) }

// branches is the longest branches of g, by their first node.
func branches(e *rewrite.Editor, g *graph.Graph) map[*graph.Node]*branch {
	starts, inside := map[*graph.Node]*branch{}, map[*graph.Node]bool{}
	for n := range g.Nodes() {
		if inside[n] || !n.Is("Conv") {
			continue
		}
		b := &branch{key: e.Type(n.In(0)).Elem.String()}
		for k, x := n, n.In(0); k != nil && k.Graph() == g && k.In(0) == x; k, x = b.y().Only(), b.y() {
			key := stepKey(e, k)
			if key == "" {
				break
			}
			b.nodes, b.key, inside[k] = append(b.nodes, k), b.key+"\n"+key, true
		}
		if len(b.nodes) > 0 {
			starts[n] = b
		}
	}
	return starts
}

// stepKey is equal for nodes that may stand at one place of branches that are
// joined: convolutions that see one place, and operators that map each element
// by itself. It is "" for other nodes.
func stepKey(e *rewrite.Editor, n *graph.Node) string {
	x, y := e.Type(n.In(0)), e.Type(n.Out(0))
	if len(n.Outputs()) != 1 || !vector(x) || x.Elem != y.Elem || x.Rank() != y.Rank() {
		return ""
	}
	if n.Is("Conv") {
		l, _ := linearAt(e, n)
		if l == nil || !l.unpadded() || slices.Max(n.In(1).Const().Shape[2:]) != 1 {
			return ""
		}
		return fmt.Sprint("Conv ", l.groups, n.In(1).Const(), n.In(2) != nil)
	}
	r, err := op.Resolve(n, e.Model.Opset)
	key, ok := rewrite.Signature(n)
	if err != nil || !ok || r.Flags&op.Elementwise == 0 {
		return ""
	}
	for _, v := range n.Inputs()[1:] {
		if v != nil && (v.Const() == nil || v.Const().Len() != 1 || v.Const().Rank() > x.Rank()) {
			return ""
		}
		key += fmt.Sprintf(",%p", v)
	}
	return key
}

// vector reports values of the form [N,C,1,...], one vector for each sample.
func vector(t graph.Type) bool {
	return t.Rank() > 2 && !slices.ContainsFunc(t.Shape[2:], func(d dim.Dim) bool { return !d.Is(1) })
}

// independent is the branches that differ from first only in their weights and
// read nothing that another of them computes, in order.
func independent(e *rewrite.Editor, first *branch, starts map[*graph.Node]*branch) []*branch {
	var group []*branch
	ends := map[*graph.Node]bool{}
	late := map[*graph.Value]bool{} // what depends on the result of a member
	batch := func(b *branch) dim.Dim { return e.Type(b.x()).Shape[0] }
	for n := first.nodes[0]; n != nil; n = n.Next() {
		depends := false
		reads := func(v *graph.Value) { depends = depends || late[v] }
		for _, v := range n.Inputs() {
			reads(v)
		}
		n.Captures(reads)
		if b := starts[n]; b != nil && !depends && b.key == first.key && batch(b).Equal(batch(first)) {
			group = append(group, b)
			ends[b.last()] = true
		}
		if depends || ends[n] {
			for _, v := range n.Outputs() {
				late[v] = v != nil
			}
		}
	}
	return group
}

// join computes the branches of a group as one.
func join(e *rewrite.Editor, g *graph.Graph, group []*branch) {
	at := group[0].nodes[0]
	in, names := make([]*graph.Value, len(group)), make([]string, len(group))
	for i, b := range group {
		in[i], names[i] = b.x(), g.Fresh(b.y().Name)
	}
	x := e.Add(at, "Concat", in, graph.Int("axis", 1))
	for i := range group[0].nodes {
		x = joinStep(e, at, x, group, i)
	}
	split := g.NewNode("Split", []*graph.Value{x}, names, graph.Int("axis", 1))
	if e.Opset() >= 18 {
		split.SetAttr(graph.Int("num_outputs", int64(len(group))))
	}
	g.InsertBefore(at, split)
	e.Shape.Update(split)
	for i, b := range group {
		b.y().Supersede(split.Out(i))
		e.Changed(b.nodes[0], "computed with the %d branches that are equal to it", len(group)-1)
		weights := b.weights()
		e.Drop(b.last())
		for _, v := range weights {
			v.Graph().RemoveInitializer(v)
		}
	}
	e.KeepShapes(e.Shape)
}

// joinStep is what the nodes at place i of all branches compute, from x, their
// inputs side by side.
func joinStep(e *rewrite.Editor, at *graph.Node, x *graph.Value, group []*branch, i int) *graph.Value {
	n := group[0].nodes[i]
	in := append([]*graph.Value{x}, n.Inputs()[1:]...)
	if !n.Is("Conv") {
		return e.Add(at, n.Op, in, rewrite.CloneAttrs(n.Attrs)...)
	}
	for slot := 1; slot < len(in); slot++ {
		var parts []*tensor.Tensor
		for _, b := range group {
			parts = append(parts, b.nodes[i].In(slot).Const())
		}
		in[slot] = e.Const(at, stacked(parts))
	}
	groups := graph.Int("group", n.Int("group", 1)*int64(len(group)))
	return e.Add(at, "Conv", in, append(rewrite.CloneAttrs(n.Attrs, "group"), groups)...)
}

// weights is the constants that only the branch reads.
func (b *branch) weights() (list []*graph.Value) {
	for _, n := range b.nodes {
		if n.Is("Conv") {
			list = append(list, n.Inputs()[1:]...)
		}
	}
	return list
}

// stacked is tensors of one type and shape one behind the other.
func stacked(parts []*tensor.Tensor) *tensor.Tensor {
	shape := slices.Clone(parts[0].Shape)
	shape[0] *= len(parts)
	t := tensor.New(parts[0].Type, shape...)
	for i, p := range parts {
		copy(t.Bytes()[i*len(p.Bytes()):], p.Bytes())
	}
	return t
}

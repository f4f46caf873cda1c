package clean

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/passes/pass"
)

// Inline replaces calls of model-local functions by their bodies, so that all
// other passes see through them.
var Inline = pass.Pass{
	Name:  "inline-functions",
	Doc:   "replace calls of model-local functions by their bodies",
	Gives: pass.Inlined,
	Run: func(c *pass.Context, m *graph.Model) error {
		kept := map[*graph.Node]bool{}
		for again := true; again; {
			again = false
			for n := range m.Graph.All() {
				f := m.Function(n.Domain, n.Op, n.Overload)
				if f == nil || kept[n] || !c.Allow() {
					continue
				}
				if err := inline(c, m, n, f); err != nil {
					c.Kept(n, "%v", err)
					kept[n] = true
					continue
				}
				again = true // the body may call others; no function calls itself
			}
		}
		dropFunctions(m)
		return nil
	},
}

func inline(c *pass.Context, m *graph.Model, n *graph.Node, f *graph.Function) error {
	if err := sameOperators(m, f); err != nil {
		return err
	}
	body, err := f.Instantiate(n)
	if err != nil {
		return err
	}
	for _, o := range f.Opsets {
		if m.Opset(o.Domain) == 0 {
			m.SetOpset(o.Domain, o.Version)
		}
	}
	mapped := map[*graph.Value]*graph.Value{}
	for i, v := range body.Inputs() {
		mapped[v] = n.In(i)
	}
	insert(n, body, mapped)
	for i, v := range n.Outputs() {
		if v != nil && i < len(body.Outputs()) {
			standFor(n, v, mapped[body.Outputs()[i]])
		}
	}
	c.Changed(n, "inlined")
	n.Graph().Remove(n)
	return nil
}

// sameOperators fails if an operator of the body means something else at the
// model's opset.
func sameOperators(m *graph.Model, f *graph.Function) error {
	for b := range f.Body.All() {
		mine, theirs := m.Opset(b.Domain), f.Opset(b.Domain)
		if mine == 0 || mine == theirs || m.Function(b.Domain, b.Op, b.Overload) != nil {
			continue
		}
		d := op.Find(b.Domain, b.Op)
		if d == nil || d.At(mine) != d.At(theirs) {
			return fmt.Errorf("function uses %s of opset %d, the model has opset %d", b.Op, theirs, mine)
		}
	}
	return nil
}

// insert copies the nodes of body before n under fresh names.
func insert(n *graph.Node, body *graph.Graph, mapped map[*graph.Value]*graph.Value) {
	g := n.Graph()
	for v := range body.Initializers() {
		if !v.IsInput() {
			d := *v.Data
			mapped[v] = g.AddInitializer(v.Name, &d)
		}
	}
	for b := range body.Nodes() {
		k := g.CloneNode(b, mapped)
		rename(g, k)
		g.InsertBefore(n, k)
	}
}

// rename gives a copied node, and what its subgraphs define, fresh names.
func rename(g *graph.Graph, n *graph.Node) {
	for _, v := range n.Outputs() {
		if v != nil {
			v.Name = g.Fresh(v.Name)
		}
	}
	if n.Name != "" {
		n.Name = g.Fresh(n.Name)
	}
	for sub := range n.Subgraphs() {
		for _, v := range sub.Inputs() {
			v.Name = g.Fresh(v.Name)
		}
		for v := range sub.Initializers() {
			if !v.IsInput() {
				v.Name = g.Fresh(v.Name)
			}
		}
		for b := range sub.Nodes() {
			rename(g, b)
		}
	}
}

// standFor makes v stand for old before n, through an Identity where v cannot
// take the name of a graph output.
func standFor(n *graph.Node, old, v *graph.Value) {
	if !old.CanReplace(v) {
		v = n.Graph().Add(n, "Identity", old.Name, []*graph.Value{v})
	}
	old.ReplaceAll(v)
}

// dropFunctions removes the functions that nothing calls any more.
func dropFunctions(m *graph.Model) {
	used := map[*graph.Function]bool{}
	var visit func(g *graph.Graph)
	visit = func(g *graph.Graph) {
		for n := range g.All() {
			if f := m.Function(n.Domain, n.Op, n.Overload); f != nil && !used[f] {
				used[f] = true
				visit(f.Body)
			}
		}
	}
	visit(m.Graph)
	kept := m.Functions[:0]
	for _, f := range m.Functions {
		if used[f] {
			kept = append(kept, f)
		}
	}
	m.Functions = kept
}

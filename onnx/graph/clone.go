package graph

import (
	"maps"
	"slices"
)

// Clone is a deep copy of m's structure; tensors are shared, as they are
// immutable.
func (m *Model) Clone() *Model {
	c := *m
	c.Opsets, c.Metadata = slices.Clone(m.Opsets), slices.Clone(m.Metadata)
	c.Graph = m.Graph.cloneInto(m.Graph.names.clone(), map[*Value]*Value{})
	c.Functions = make([]*Function, len(m.Functions))
	for i, f := range m.Functions {
		g := *f
		g.Opsets, g.Attrs = slices.Clone(f.Opsets), slices.Clone(f.Attrs)
		g.Body = f.Body.cloneInto(f.Body.names.clone(), map[*Value]*Value{})
		c.Functions[i] = &g
	}
	return &c
}

func (n *nameSet) clone() *nameSet {
	return &nameSet{maps.Clone(n.taken), n.keep}
}

// CloneSubgraph copies src as a graph that shares g's names. Values that src
// uses from outside itself map through outer, or stay as they are.
func (g *Graph) CloneSubgraph(src *Graph, outer map[*Value]*Value) *Graph {
	return src.cloneInto(g.names, outer)
}

func (g *Graph) cloneInto(names *nameSet, mapped map[*Value]*Value) *Graph {
	c := &Graph{Name: g.Name, Doc: g.Doc, Metadata: slices.Clone(g.Metadata), Quant: slices.Clone(g.Quant),
		Stray: g.Stray, Extra: g.Extra, names: names}
	for _, v := range g.inputs {
		mapped[v] = v.copyTo(c)
		c.inputs = append(c.inputs, mapped[v])
	}
	for v := range g.Initializers() {
		if !v.input {
			mapped[v] = v.copyTo(c)
		}
		c.stored = append(c.stored, mapped[v])
	}
	for n := range g.Nodes() {
		c.InsertBefore(nil, n.cloneInto(c, mapped))
	}
	for _, v := range g.outputs {
		c.AddOutput(through(mapped, v))
	}
	for i, d := range g.outInfo {
		e := *d
		c.DescribeOutput(i, &e)
	}
	for _, v := range g.Declared {
		if v.Live() {
			c.Declared = append(c.Declared, through(mapped, v))
		}
	}
	return c
}

func through(mapped map[*Value]*Value, v *Value) *Value {
	if w, ok := mapped[v]; ok {
		return w
	}
	return v
}

func (v *Value) copyTo(g *Graph) *Value {
	w := *v
	w.graph, w.uses, w.def = g, nil, nil
	if v.Data != nil {
		d := *v.Data
		w.Data = &d
	}
	return &w
}

// CloneNode copies n, with its subgraphs, as a node of g that stands in no
// place yet. Inputs map through mapped or stay; outputs keep their names and
// are added to mapped.
func (g *Graph) CloneNode(n *Node, mapped map[*Value]*Value) *Node { return n.cloneInto(g, mapped) }

func (n *Node) cloneInto(g *Graph, mapped map[*Value]*Value) *Node {
	c := &Node{Name: n.Name, Op: n.Op, Domain: n.Domain, Overload: n.Overload, Doc: n.Doc,
		Metadata: slices.Clone(n.Metadata), Extra: n.Extra, graph: g}
	for _, a := range n.Attrs {
		b := a.Clone()
		if a.G != nil {
			b.G = a.G.cloneInto(g.names, mapped)
		}
		if a.Graphs != nil {
			b.Graphs = make([]*Graph, len(a.Graphs))
			for i, s := range a.Graphs {
				b.Graphs[i] = s.cloneInto(g.names, mapped)
			}
		}
		c.Attrs = append(c.Attrs, b)
		c.adopt(b)
	}
	in := make([]*Value, len(n.in))
	for i, v := range n.in {
		if v != nil {
			in[i] = through(mapped, v)
		}
	}
	c.LoadInputs(in)
	for i, v := range n.out {
		if v == nil {
			c.out = append(c.out, nil)
			continue
		}
		w := v.copyTo(g)
		w.def, w.slot = c, i
		mapped[v] = w
		c.out = append(c.out, w)
	}
	return c
}

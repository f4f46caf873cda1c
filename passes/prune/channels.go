package prune

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// channels knows which indices along which axes of which tensors stand or fall
// together. A unit is one channel, neuron or head: an output of a Conv, Gemm or
// MatMul with constant weights, followed through the graph. Wherever two must
// go together - the branches of a residual addition, the two sides of a
// depthwise convolution - they are merged (DepGraph: Fang et al. 2023, arXiv
// 2301.12900). Units that reach something whose size or meaning depends on
// them are frozen.
type channels struct {
	m      *graph.Model
	s      *shape.Info
	parent []int // of each unit in its tree of merged ones
	frozen []bool
	labels map[*graph.Value]axes
	params map[*graph.Value][]param
	seen   map[*graph.Value]int // uses that a rule understood
	layers []layerUnits
	fixes  []func(pick)
}

// axes is the units along each axis of a tensor, nil where they are none.
type axes [][]int

// role is what a parameter's axis is to its units.
type role uint8

const (
	makes   role = iota // rows of the weight that computes the unit
	shifts              // a bias, scale or statistic for each unit
	reads               // columns of a weight that reads the unit
	follows             // moved along with no arithmetic of its own
)

// param is one labelled axis of an initializer.
type param struct {
	node  *graph.Node
	value *graph.Value
	axis  int
	role  role
	units []int
}

// layerUnits is the units that a node makes.
type layerUnits struct {
	node  *graph.Node
	units []int
}

// pick chooses the positions of an axis to keep, in their new order.
type pick func(units []int) []int

// analyze labels the main graph; its shapes must be known.
func analyze(m *graph.Model, s *shape.Info) *channels {
	c := &channels{m: m, s: s, labels: map[*graph.Value]axes{}, params: map[*graph.Value][]param{}, seen: map[*graph.Value]int{}}
	for n := range m.Graph.Nodes() {
		c.node(n)
	}
	for v, l := range c.labels {
		if v.Const() == nil && c.seen[v] != len(v.Uses()) {
			c.freeze(l)
		}
		for axis, units := range l {
			if units != nil && v.Const() != nil && c.labelled(v, axis) != len(v.Uses()) {
				c.freezeUnits(units)
			}
		}
	}
	return c
}

// labelled is how many uses of a constant label an axis.
func (c *channels) labelled(v *graph.Value, axis int) int {
	n := 0
	for _, p := range c.params[v] {
		if p.axis == axis {
			n++
		}
	}
	return n
}

// node applies the rule of n's operator.
func (c *channels) node(n *graph.Node) {
	r, err := op.Resolve(n, c.m.Opset)
	rule := rules[n.Op]
	if err != nil || graph.CanonicalDomain(n.Domain) != "" {
		rule = nil
	} else if rule == nil && r.Flags&op.Elementwise != 0 {
		rule = elementwise
	}
	ok := false
	if rule != nil {
		ok = rule(c, n, &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema})
	}
	if !ok {
		for _, v := range n.Inputs() {
			c.freeze(c.labels[v])
		}
		for _, v := range n.Outputs() {
			delete(c.labels, v)
		}
	}
	for _, v := range n.Inputs() {
		if v != nil && ok {
			c.seen[v]++
		}
	}
}

// fresh makes the units of a node.
func (c *channels) fresh(n *graph.Node, count int) []int {
	out := make([]int, count)
	for i := range out {
		out[i] = len(c.parent)
		c.parent = append(c.parent, out[i])
		c.frozen = append(c.frozen, false)
	}
	c.layers = append(c.layers, layerUnits{n, out})
	return out
}

// root is the unit that stands for all those merged with u.
func (c *channels) root(u int) int {
	for c.parent[u] != u {
		c.parent[u] = c.parent[c.parent[u]]
		u = c.parent[u]
	}
	return u
}

// merge makes units stand or fall together, pairwise. Without units on one
// side, those of the other cannot go.
func (c *channels) merge(a, b []int) []int {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil || b == nil || len(a) != len(b):
		c.freezeUnits(a)
		c.freezeUnits(b)
		return nil
	}
	for i := range a {
		c.join(a[i], b[i])
	}
	return a
}

// join merges two units; the older one stands for both.
func (c *channels) join(a, b int) {
	a, b = c.root(a), c.root(b)
	if a > b {
		a, b = b, a
	}
	c.parent[b] = a
	c.frozen[a] = c.frozen[a] || c.frozen[b]
}

func (c *channels) freezeUnits(units []int) {
	for _, u := range units {
		c.frozen[c.root(u)] = true
	}
}

func (c *channels) freeze(l axes) {
	for _, units := range l {
		c.freezeUnits(units)
	}
}

// freezeBut freezes the units of all axes but some.
func (c *channels) freezeBut(l axes, keep ...int) {
	for i, units := range l {
		if !slices.Contains(keep, i) {
			c.freezeUnits(units)
		}
	}
}

// at is the units of an axis, nil for none.
func (l axes) at(axis int) []int {
	if axis < 0 || axis >= len(l) {
		return nil
	}
	return l[axis]
}

// set labels a node's output.
func (c *channels) set(v *graph.Value, l axes) {
	if v != nil && slices.ContainsFunc(l, func(u []int) bool { return u != nil }) {
		c.labels[v] = l
	}
}

// param labels an axis of a constant. One that is no constant, or too short,
// freezes the units.
func (c *channels) param(n *graph.Node, v *graph.Value, axis int, units []int, r role) {
	t := v.Const()
	if units == nil {
		return
	}
	if t == nil || axis < 0 || axis >= t.Rank() || t.Shape[axis] != len(units) {
		c.freezeUnits(units)
		return
	}
	l := c.labels[v]
	if l == nil {
		l = make(axes, t.Rank())
		c.labels[v] = l
	}
	if l[axis] != nil {
		c.merge(l[axis], units) // a tied weight
	}
	l[axis] = units
	c.params[v] = append(c.params[v], param{n, v, axis, r, units})
}

// shapeOf is the known shape of v: -1 for sizes that are not constant.
func (c *channels) shapeOf(v *graph.Value) ([]int, bool) {
	t := c.s.Type(v)
	if v == nil || !t.Ranked {
		return nil, false
	}
	out := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		out[i] = -1
		if k, ok := d.Const(); ok {
			out[i] = int(k)
		}
	}
	return out, true
}

// shrink keeps of every labelled axis what p picks, in weights, attributes and
// shape constants.
func (c *channels) shrink(p pick) {
	for v := range c.m.Graph.Initializers() {
		for axis, units := range c.labels[v] {
			if units != nil {
				v.Data = &graph.Data{Tensor: take(v.Data.Tensor, axis, p(units)), Doc: v.Data.Doc, Metadata: v.Data.Metadata}
			}
		}
	}
	for _, fix := range c.fixes {
		fix(p)
	}
	for v := range c.labels {
		if v.Def() != nil && !v.IsOutput() {
			v.Type = graph.Type{}
		}
	}
}

// take is the elements of t at some positions along an axis.
func take(t *tensor.Tensor, axis int, at []int) *tensor.Tensor {
	outer, inner := 1, t.Type.Bits()/8
	for _, d := range t.Shape[:axis] {
		outer *= d
	}
	for _, d := range t.Shape[axis+1:] {
		inner *= d
	}
	s := slices.Clone(t.Shape)
	s[axis] = len(at)
	out := tensor.New(t.Type, s...)
	from, to := t.Bytes(), out.Bytes()
	for o := range outer {
		for i, p := range at {
			copy(to[(o*len(at)+i)*inner:][:inner], from[(o*t.Shape[axis]+p)*inner:])
		}
	}
	return out
}

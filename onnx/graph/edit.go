package graph

import (
	"fmt"
	"slices"
	"strconv"

	"onnxopt/onnx/tensor"
)

// nameSet is the value and node names in use in a graph and its subgraphs,
// shared by all of them. It only grows.
type nameSet struct {
	taken map[string]int // name to the next suffix to try
	keep  func(*tensor.Tensor) *tensor.Tensor
}

// KeepWith makes f choose where the tensors of new initializers are kept, in m,
// its subgraphs and its clones: f returns an equal tensor. Nil keeps them as
// they are.
func (m *Model) KeepWith(f func(*tensor.Tensor) *tensor.Tensor) { m.Graph.names.keep = f }

// New is an empty main graph.
func New(name string) *Graph {
	return &Graph{Name: name, names: &nameSet{taken: map[string]int{}}}
}

// NewSubgraph is an empty graph that shares g's names: the body of an
// attribute of a node in g. It becomes part of g by SetAttr.
func (g *Graph) NewSubgraph(name string) *Graph {
	return &Graph{Name: name, names: g.names}
}

// Fresh is a name close to base that no value or node of the model has.
func (g *Graph) Fresh(base string) string {
	if base == "" {
		base = "v"
	}
	next, taken := g.names.taken[base]
	name := base
	for taken {
		name = base + "_" + strconv.Itoa(next+1)
		next++
		_, taken = g.names.taken[name]
	}
	if name != base {
		g.names.taken[base] = next
	}
	g.names.taken[name] = 0
	return name
}

func (g *Graph) take(name string) {
	if _, ok := g.names.taken[name]; !ok {
		g.names.taken[name] = 0
	}
}

// Rename gives v a name that no other value has any more.
func (v *Value) Rename(name string) {
	v.graph.take(name)
	v.Name = name
}

// AddInput appends a graph input.
func (g *Graph) AddInput(name string, t Type) *Value {
	v := &Value{Name: name, Type: t, graph: g, input: true}
	g.take(name)
	g.inputs = append(g.inputs, v)
	return v
}

// SetDefault gives an input without one a default value.
func (g *Graph) SetDefault(v *Value, d *Data) {
	v.Data = d
	g.stored = append(g.stored, v)
}

// AddInitializer appends a constant with a fresh name close to name.
func (g *Graph) AddInitializer(name string, d *Data) *Value {
	if f := g.names.keep; f != nil && d.Tensor != nil {
		d.Tensor = f(d.Tensor)
	}
	return g.addInitializer(g.Fresh(name), d)
}

// LoadInitializer is AddInitializer with exactly this name, for readers of
// files.
func (g *Graph) LoadInitializer(name string, d *Data) *Value {
	g.take(name)
	return g.addInitializer(name, d)
}

func (g *Graph) addInitializer(name string, d *Data) *Value {
	v := &Value{Name: name, Data: d, graph: g}
	g.stored = append(g.stored, v)
	return v
}

// AddOutput appends v, of g or of an enclosing graph, to g's outputs.
func (g *Graph) AddOutput(v *Value) {
	g.outputs = append(g.outputs, v)
	g.outPos = append(g.outPos, len(v.uses))
	v.uses = append(v.uses, Use{Graph: g, Index: len(g.outputs) - 1})
}

// SetOutput makes v output i of g. The graph's interface keeps its name only
// if v has the name of the old output; see ReplaceAll.
func (g *Graph) SetOutput(i int, v *Value) {
	g.outputs[i].dropUse(g.outPos[i])
	g.outputs[i], g.outPos[i] = v, len(v.uses)
	v.uses = append(v.uses, Use{Graph: g, Index: i})
	if d := g.outInfo[i]; d != nil && v.graph == g && !v.input {
		delete(g.outInfo, i)
		if !v.Type.Known() {
			v.Type, v.Doc, v.Metadata, v.Extra = d.Type, d.Doc, d.Metadata, d.Extra
		}
	}
}

// RemoveInput removes an input that nothing reads, or makes it a plain
// initializer if it has data.
func (g *Graph) RemoveInput(v *Value) {
	if v.Data == nil && len(v.uses) > 0 {
		panic("graph: input " + v.Name + " is in use")
	}
	g.inputs = slices.DeleteFunc(g.inputs, func(o *Value) bool { return o == v })
	v.input = false
	v.removed = v.Data == nil
}

// RemoveInitializer removes a constant that nothing reads.
func (g *Graph) RemoveInitializer(v *Value) {
	if len(v.uses) > 0 || v.def != nil || v.graph != g {
		panic("graph: " + v.Name + " is no unused initializer")
	}
	v.Data, v.removed = nil, !v.input
}

// dropUse removes uses[k], moving the last use into its place.
func (v *Value) dropUse(k int) {
	last := len(v.uses) - 1
	moved := v.uses[last]
	v.uses[k] = moved
	v.uses = v.uses[:last]
	switch {
	case k == last:
	case moved.Node != nil:
		moved.Node.usePos[moved.Index] = k
	default:
		moved.Graph.outPos[moved.Index] = k
	}
}

// NewNode makes a node that stands in no graph yet. Nil inputs are absent
// optional ones. Outputs have the given names exactly; "" is an absent output.
func (g *Graph) NewNode(op string, in []*Value, out []string, attrs ...*Attr) *Node {
	n := &Node{Op: op, graph: g, Attrs: attrs}
	for _, a := range attrs {
		n.adopt(a)
	}
	for _, name := range out {
		if name == "" {
			n.out = append(n.out, nil)
			continue
		}
		g.take(name)
		n.out = append(n.out, &Value{Name: name, graph: g, def: n, slot: len(n.out)})
	}
	n.SetInputs(in...)
	return n
}

// Add makes a node with one output, named after base, and inserts it before
// at, or at the end if at is nil. It returns the output.
func (g *Graph) Add(at *Node, op string, base string, in []*Value, attrs ...*Attr) *Value {
	n := g.NewNode(op, in, []string{g.Fresh(base)}, attrs...)
	n.Name = g.Fresh(op + "/" + n.out[0].Name)
	g.InsertBefore(at, n)
	return n.out[0]
}

// InsertBefore puts a new node before at, or at the end if at is nil.
func (g *Graph) InsertBefore(at, n *Node) {
	if n.graph != g || n.prev != nil || n.next != nil || g.first == n || at != nil && at.graph != g {
		panic("graph: insert " + n.Title())
	}
	if n.Name != "" {
		g.take(n.Name)
	}
	g.link(at, n)
	g.count++
}

func (g *Graph) link(at, n *Node) {
	n.next = at
	if at != nil {
		n.prev, at.prev = at.prev, n
	} else {
		n.prev, g.last = g.last, n
	}
	if n.prev != nil {
		n.prev.next = n
	} else {
		g.first = n
	}
}

func (g *Graph) unlink(n *Node) {
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		g.first = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		g.last = n.prev
	}
	n.prev, n.next = nil, nil
}

// MoveBefore changes the order: n stands before at, or last if at is nil.
func (g *Graph) MoveBefore(at, n *Node) {
	if at == n {
		return
	}
	g.unlink(n)
	g.link(at, n)
}

// Remove takes n, whose outputs nothing reads, out of its graph.
func (g *Graph) Remove(n *Node) {
	for _, v := range n.out {
		if v != nil && len(v.uses) > 0 {
			panic(fmt.Sprintf("graph: remove %s: %s is in use", n.Title(), v.Name))
		}
	}
	n.SetInputs()
	for _, a := range n.Attrs {
		a.release()
	}
	g.unlink(n)
	n.graph = nil
	g.count--
}

// release drops all uses by a subgraph that goes away.
func (g *Graph) release() {
	for n := range g.All() {
		n.SetInputs()
	}
	for i, v := range g.outputs {
		v.dropUse(g.outPos[i])
	}
	g.outputs, g.outPos = nil, nil
}

// SetInputs replaces all inputs; trailing nils are dropped.
func (n *Node) SetInputs(in ...*Value) {
	for i := range n.in {
		n.SetIn(i, nil)
	}
	for len(in) > 0 && in[len(in)-1] == nil {
		in = in[:len(in)-1]
	}
	n.in = make([]*Value, len(in))
	n.usePos = make([]int, len(in))
	for i, v := range in {
		n.SetIn(i, v)
	}
}

// SetIn makes v input i of n, extending the list if needed; nil is absent.
func (n *Node) SetIn(i int, v *Value) {
	for len(n.in) <= i {
		n.in = append(n.in, nil)
		n.usePos = append(n.usePos, 0)
	}
	if old := n.in[i]; old != nil {
		old.dropUse(n.usePos[i])
	}
	n.in[i] = v
	if v != nil {
		n.usePos[i] = len(v.uses)
		v.uses = append(v.uses, Use{Node: n, Index: i})
	}
}

// DropOut makes output i absent; nothing may read it.
func (n *Node) DropOut(i int) {
	if v := n.out[i]; v != nil && len(v.uses) > 0 {
		panic(fmt.Sprintf("graph: output %s of %s is in use", v.Name, n.Title()))
	}
	n.out[i] = nil
	for len(n.out) > 0 && n.out[len(n.out)-1] == nil {
		n.out = n.out[:len(n.out)-1]
	}
}

// ReplaceNodeUses makes every node that reads old read v instead; uses as
// graph outputs stay.
func (old *Value) ReplaceNodeUses(v *Value) {
	for i := len(old.uses) - 1; i >= 0; i-- {
		if u := old.uses[i]; u.Node != nil {
			u.Node.SetIn(u.Index, v)
		}
	}
}

// CanReplace reports whether ReplaceAll can work: graph outputs keep their
// names and are computed by nodes of their own graph, so an old that is an
// output needs a v that a node of the same graph computes and that is not an
// output itself.
func (old *Value) CanReplace(v *Value) bool {
	return !old.IsOutput() || v.def != nil && v.graph == old.graph && !v.IsOutput()
}

// ReplaceAll makes everything that reads old read v instead, and reports
// whether that was possible (see CanReplace); if not, nothing has changed. If
// old is a graph output, v takes its name and its declared type.
func (old *Value) ReplaceAll(v *Value) bool {
	if !old.CanReplace(v) {
		return false
	}
	if old.IsOutput() {
		old.Name, v.Name = v.Name, old.Name
		v.Type, v.Doc, v.Metadata, v.Extra = old.Type, old.Doc, old.Metadata, old.Extra
	}
	old.ReplaceNodeUses(v)
	for len(old.uses) > 0 {
		u := old.uses[0]
		u.Graph.SetOutput(u.Index, v)
	}
	return true
}

// Order makes the node order the given one, which holds each node once.
func (g *Graph) Order(nodes []*Node) {
	if len(nodes) != g.count {
		panic("graph: order of another graph")
	}
	g.first, g.last = nil, nil
	for _, n := range nodes {
		n.prev, n.next = nil, nil
		g.link(nil, n)
	}
}

// LoadInputs is SetInputs for readers of files: trailing absent inputs are
// kept, so that the file can be written back as it was.
func (n *Node) LoadInputs(in []*Value) {
	n.SetInputs(in...)
	for len(n.in) < len(in) {
		n.in = append(n.in, nil)
		n.usePos = append(n.usePos, 0)
	}
}

// LoadAttrs sets the attributes of a node that has none, for readers of files.
func (n *Node) LoadAttrs(attrs []*Attr) {
	n.Attrs = attrs
	for _, a := range attrs {
		n.adopt(a)
	}
}

// Supersede is ReplaceAll for a v that computes what old did after a fusion: v
// takes old's name in any case, so that values keep meaning what they meant.
func (old *Value) Supersede(v *Value) bool {
	output := old.IsOutput()
	if !old.ReplaceAll(v) {
		return false
	}
	if !output {
		old.Name, v.Name = v.Name, old.Name
	}
	return true
}

// Package graph is the in-memory form of an ONNX model: graphs of nodes and
// values with def-use links in both directions.
//
// Links are edited only by methods, which keep both directions true. A value
// belongs to one graph; nodes of subgraphs use values of enclosing graphs
// directly, so a capture is an ordinary use.
package graph

import (
	"iter"

	"onnxopt/onnx/tensor"
)

// Model is a ModelProto.
type Model struct {
	IRVersion       int64
	Opsets          []Opset
	Producer        string
	ProducerVersion string
	Domain          string
	Version         int64
	Doc             string
	Metadata        []Prop
	Graph           *Graph
	Functions       []*Function
	Training        [][]byte // TrainingInfoProto, kept as wire bytes
	Repaired        []string // faults of the file that reading put right; not written
	Extra           Extra
	// Mapped is the read-only mappings of files that weights alias: memory that can
	// be given back to the system, which reads it again when it is touched.
	Mapped [][]byte
}

// Opset is one opset_import.
type Opset struct {
	Domain  string // "" is ai.onnx
	Version int64
	Wire    string // the message as the file has it, where it has more than that
}

// Prop is a StringStringEntryProto.
type Prop struct {
	Key, Value string
	Wire       string // the message as the file has it, where it has more than that
}

// Extra is what the file has beyond the fields of this package: unknown
// protobuf fields and fields that no pass looks at, in wire format.
type Extra []byte

// Opset is the version that m imports of a domain, 0 if none. "ai.onnx" and
// "" are one domain.
func (m *Model) Opset(domain string) int64 { return opsetOf(m.Opsets, domain) }

func opsetOf(opsets []Opset, domain string) int64 {
	domain = CanonicalDomain(domain)
	for _, o := range opsets {
		if CanonicalDomain(o.Domain) == domain {
			return o.Version
		}
	}
	return 0
}

// SetOpset imports version v of a domain, replacing an import of it.
func (m *Model) SetOpset(domain string, v int64) {
	for i, o := range m.Opsets {
		if CanonicalDomain(o.Domain) == CanonicalDomain(domain) {
			m.Opsets[i].Version = v
			return
		}
	}
	m.Opsets = append(m.Opsets, Opset{Domain: domain, Version: v})
}

// CanonicalDomain maps "ai.onnx" to "".
func CanonicalDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// Function is a FunctionProto: a model-local operator. Its body's inputs and
// outputs are the formal parameters, which have no types.
type Function struct {
	Domain, Name, Overload string
	Attrs                  []string // attributes without a default
	Defaults               []*Attr  // attributes with a default
	Opsets                 []Opset
	Body                   *Graph // holds also the doc string and metadata
	Extra                  Extra
}

// Opset is the version that the function's body imports of a domain.
func (f *Function) Opset(domain string) int64 { return opsetOf(f.Opsets, domain) }

// Function finds a model-local function, nil if there is none.
func (m *Model) Function(domain, name, overload string) *Function {
	for _, f := range m.Functions {
		if f.Name == name && f.Overload == overload && CanonicalDomain(f.Domain) == CanonicalDomain(domain) {
			return f
		}
	}
	return nil
}

// Graph is a GraphProto: the main graph, a subgraph held by a node's
// attribute, or the body of a function.
type Graph struct {
	Name, Doc string
	Metadata  []Prop
	Quant     []QuantAnnotation
	Declared  []*Value // values that value_info describes, in file order
	Stray     []Stray  // other value_info
	Extra     Extra

	inputs  []*Value
	outputs []*Value
	outPos  []int          // outPos[i]: where in outputs[i].uses this use stands
	outInfo map[int]*Value // descriptions of outputs that are inputs or outer values
	stored  []*Value       // values with data, in file order; may hold removed ones
	first   *Node
	last    *Node
	count   int
	parent  *Node // the node whose attribute holds this graph
	names   *nameSet
}

// Stray is a ValueInfoProto that names no value, or one that is described
// otherwise elsewhere. It follows the first After values of Graph.Declared.
type Stray struct {
	After int
	Wire  []byte
}

// QuantAnnotation is a TensorAnnotation.
type QuantAnnotation struct {
	Tensor string
	Params []Prop
	Extra  Extra
}

// Value is an edge: a graph input, an initializer or the output of a node.
type Value struct {
	Name     string
	Type     Type // as declared in the file; inference keeps its results apart
	Doc      string
	Metadata []Prop
	Data     *Data // the initializer's content
	Extra    Extra

	graph   *Graph
	def     *Node
	slot    int
	input   bool
	removed bool
	uses    []Use
}

// Use is one place that reads a value: input Index of Node, or output Index
// of Graph when Node is nil.
type Use struct {
	Node  *Node
	Graph *Graph
	Index int
}

// Data is a stored tensor: an initializer or a tensor attribute. One of
// Tensor and Sparse is set.
type Data struct {
	Tensor   *tensor.Tensor
	Sparse   *tensor.Sparse
	Name     string // of a tensor attribute; an initializer has its value's
	Doc      string
	Metadata []Prop
	Layout   Layout
	Location string // of External data, relative to the model's folder
	Extra    Extra
}

// Layout is how a stored tensor is written.
type Layout uint8

const (
	Raw      Layout = iota // raw_data
	Typed                  // float_data, int32_data, ...
	External               // a file beside the model
)

// Node is a NodeProto.
type Node struct {
	Name, Op, Domain, Overload string
	Doc                        string
	Attrs                      []*Attr // edit subgraph attributes only by SetAttr and RemoveAttr
	Metadata                   []Prop
	Extra                      Extra

	in, out    []*Value
	usePos     []int // usePos[i]: where in in[i].uses this use stands
	graph      *Graph
	prev, next *Node
}

// Live reports that v still stands in its graph.
func (v *Value) Live() bool { return !v.removed && (v.def == nil || v.def.graph != nil) }

// Graph is the graph that the value belongs to.
func (v *Value) Graph() *Graph { return v.graph }

// Def is the node that computes v, nil for inputs and initializers.
func (v *Value) Def() *Node { return v.def }

// Slot is the output index of v at Def.
func (v *Value) Slot() int { return v.slot }

// IsInput reports a graph input, with or without a default initializer.
func (v *Value) IsInput() bool { return v.input }

// Uses is every place that reads v. Do not modify.
func (v *Value) Uses() []Use { return v.uses }

// IsOutput reports that v is an output of some graph.
func (v *Value) IsOutput() bool {
	for _, u := range v.uses {
		if u.Node == nil {
			return true
		}
	}
	return false
}

// Only is the single node that reads v, nil if there are other uses.
func (v *Value) Only() *Node {
	if len(v.uses) == 1 {
		return v.uses[0].Node
	}
	return nil
}

// Const is the tensor of an initializer that no caller can override, nil for
// any other value. Sparse initializers have none.
func (v *Value) Const() *tensor.Tensor {
	if v == nil || v.Data == nil || v.input {
		return nil
	}
	return v.Data.Tensor
}

func (v *Value) String() string {
	if v == nil {
		return "<none>"
	}
	return v.Name
}

// Graph is the graph that the node stands in, nil once removed.
func (n *Node) Graph() *Graph { return n.graph }

// Inputs is the node's inputs; nil elements are absent optional ones. Do not
// modify.
func (n *Node) Inputs() []*Value { return n.in }

// Outputs is the node's outputs; nil elements are absent optional ones. Do not
// modify.
func (n *Node) Outputs() []*Value { return n.out }

// In is input i, nil if absent.
func (n *Node) In(i int) *Value {
	if i < len(n.in) {
		return n.in[i]
	}
	return nil
}

// Out is output i, nil if absent.
func (n *Node) Out(i int) *Value {
	if i < len(n.out) {
		return n.out[i]
	}
	return nil
}

// Is reports an operator of the standard domain.
func (n *Node) Is(ops ...string) bool {
	if CanonicalDomain(n.Domain) != "" {
		return false
	}
	for _, op := range ops {
		if n.Op == op {
			return true
		}
	}
	return false
}

// Title names the node in messages: operator and name, or its first output.
func (n *Node) Title() string {
	name := n.Name
	for i := 0; name == "" && i < len(n.out); i++ {
		if n.out[i] != nil {
			name = n.out[i].Name
		}
	}
	return n.Op + " " + name
}

// Next is the following node in order, nil at the end.
func (n *Node) Next() *Node { return n.next }

// Inputs is the graph's inputs. Do not modify.
func (g *Graph) Inputs() []*Value { return g.inputs }

// Outputs is the graph's outputs. Do not modify.
func (g *Graph) Outputs() []*Value { return g.outputs }

// OutputInfo is the value whose name, type and documentation describe output
// i: the output itself, unless it is an input or a value of an enclosing
// graph, which has another description there.
func (g *Graph) OutputInfo(i int) *Value {
	v := g.outputs[i]
	if d := g.outInfo[i]; d != nil {
		d.Name = v.Name
		return d
	}
	return v
}

// DescribeOutput gives output i a description of its own; see OutputInfo.
func (g *Graph) DescribeOutput(i int, d *Value) {
	if g.outInfo == nil {
		g.outInfo = map[int]*Value{}
	}
	g.outInfo[i] = d
}

// Parent is the node that holds this subgraph, nil for a main graph.
func (g *Graph) Parent() *Node { return g.parent }

// Len is the number of nodes, without those of subgraphs.
func (g *Graph) Len() int { return g.count }

// Nodes visits the nodes in order. The current node may be removed and nodes
// may be inserted while iterating.
func (g *Graph) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for n := g.first; n != nil; {
			next := n.next
			if !yield(n) {
				return
			}
			if n.graph == g { // still there: see what was inserted behind it
				next = n.next
			}
			n = next
		}
	}
}

// Backward visits the nodes last to first, with the same freedom as Nodes.
func (g *Graph) Backward() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for n := g.last; n != nil; {
			prev := n.prev
			if !yield(n) {
				return
			}
			if n.graph == g {
				prev = n.prev
			}
			n = prev
		}
	}
}

// All visits the nodes of g and of all its subgraphs, a node before the nodes
// that it holds.
func (g *Graph) All() iter.Seq[*Node] {
	return func(yield func(*Node) bool) { g.visit(yield) }
}

func (g *Graph) visit(yield func(*Node) bool) bool {
	for n := range g.Nodes() {
		if !yield(n) {
			return false
		}
		if n.graph == nil { // removed, with what it held
			continue
		}
		for sub := range n.Subgraphs() {
			if !sub.visit(yield) {
				return false
			}
		}
	}
	return true
}

// Subgraphs visits the graphs that n's attributes hold.
func (n *Node) Subgraphs() iter.Seq[*Graph] {
	return func(yield func(*Graph) bool) {
		for _, a := range n.Attrs {
			if a.G != nil && !yield(a.G) {
				return
			}
			for _, g := range a.Graphs {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// Initializers visits the values of g that hold data, in file order.
func (g *Graph) Initializers() iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		for _, v := range g.stored {
			if !v.removed && v.Data != nil && !yield(v) {
				return
			}
		}
	}
}

// Values visits every value of g: inputs, initializers, node outputs.
func (g *Graph) Values() iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		for _, v := range g.inputs {
			if !yield(v) {
				return
			}
		}
		for _, v := range g.stored {
			if !v.removed && !v.input && !yield(v) {
				return
			}
		}
		for n := range g.Nodes() {
			for _, v := range n.out {
				if v != nil && !yield(v) {
					return
				}
			}
		}
	}
}

// Find is the value of g with a name, nil if there is none. It searches
// linearly: for tests and messages.
func (g *Graph) Find(name string) *Value {
	for v := range g.Values() {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// Package shape infers the types of all values of a model: element types,
// symbolic shapes, and the contents of the small integer tensors that shapes
// are computed with.
package shape

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// MaxConst is the most elements of a constant that inference computes, or
// computes with.
const MaxConst = 4096

const (
	maxData  = 1024 // elements of a partially known tensor
	maxDepth = 64
	// Loop bodies are visited several times; nested ones multiply.
	maxVisits = 4 << 20
)

// Info is what is known of a model's values.
type Info struct {
	types  map[*graph.Value]graph.Type
	data   map[*graph.Value][]dim.Dim
	consts map[*graph.Value]*tensor.Tensor
	// Conflicts lists what contradicts itself: a rule that fails on its input
	// types, or a declared type that inference disproves.
	Conflicts []error
	seen      map[string]bool // conflicts
	symbols   int
	depth     int
	visits    int
	model     *graph.Model
}

// Infer infers all values of m, also in subgraphs. Declared types of inputs
// are taken as given. Declared types of other values count only for the
// outputs of operators that are not known here. Contradictions are collected,
// not fatal.
func Infer(m *graph.Model) *Info {
	return InferInputs(m, nil)
}

// InferInputs is Infer with other types for some of the graph's inputs.
func InferInputs(m *graph.Model, inputs map[string]graph.Type) *Info {
	s := &Info{types: map[*graph.Value]graph.Type{}, data: map[*graph.Value][]dim.Dim{},
		consts: map[*graph.Value]*tensor.Tensor{}, seen: map[string]bool{}, model: m}
	s.symbols = lastSymbol(m.Graph, inputs)
	for _, v := range m.Graph.Inputs() {
		t, ok := inputs[v.Name]
		if !ok {
			t = v.Type
		}
		s.types[v] = s.named(ofAnyItem(t), dim.Sym)
	}
	s.graph(m.Graph, m.Opset)
	return s
}

// Type is the inferred type of v; the zero Type when nothing is known.
func (s *Info) Type(v *graph.Value) graph.Type {
	if v == nil {
		return graph.Type{}
	}
	if t, ok := s.types[v]; ok {
		return t
	}
	if t := v.Const(); t != nil { // made after Infer
		return graph.TypeOf(t)
	}
	return graph.Type{}
}

// Update infers the outputs of a node that was made, or whose inputs changed,
// after Infer; the types of its inputs must be known. Nodes behind it are not
// visited.
func (s *Info) Update(n *graph.Node) { s.node(n, s.model.Opset) }

// Data is the elements of a tensor of rank 0 or 1 as far as they are known whole
// numbers; false when not even their number is.
func (s *Info) Data(v *graph.Value) ([]dim.Dim, bool) {
	d, ok := s.data[v]
	if t := v.Const(); !ok && t != nil { // made after Infer
		d, ok = constData(t)
	}
	return d, ok
}

// Const is the value of v if it is an initializer or a small constant that
// inference computed, else nil.
func (s *Info) Const(v *graph.Value) *tensor.Tensor {
	if v == nil {
		return nil
	}
	if t := v.Const(); t != nil {
		return t
	}
	return s.consts[v]
}

// KnowsMore reports that what reads v in the place of old can be inferred better.
func (s *Info) KnowsMore(v, old *graph.Value) bool {
	data, ok := s.Data(v)
	before, had := s.Data(old)
	return ok && !(had && slices.EqualFunc(data, before, dim.Dim.Equal)) || s.Const(v) != nil && s.Const(old) == nil || !s.Type(v).Equal(s.Type(old))
}

func (s *Info) conflict(err error) {
	if text := err.Error(); !s.seen[text] {
		s.seen[text] = true
		s.Conflicts = append(s.Conflicts, err)
	}
}

// graph infers the initializers and nodes of g; types of its inputs are set.
func (s *Info) graph(g *graph.Graph, opset func(string) int64) {
	for v := range g.Initializers() {
		s.initializer(v)
	}
	for n := range g.Nodes() {
		s.node(n, opset)
	}
}

func (s *Info) initializer(v *graph.Value) {
	switch {
	case v.Data.Tensor != nil:
		t := graph.TypeOf(v.Data.Tensor)
		if v.IsInput() { // a caller may override it
			if !s.types[v].Known() {
				s.types[v] = v.Type
			}
			return
		}
		s.types[v] = t
		s.setConstData(v, v.Data.Tensor)
	case v.Data.Sparse != nil:
		s.types[v] = graph.TensorOf(v.Data.Sparse.Values.Type, graph.Dims(v.Data.Sparse.Shape)...)
	}
	if v.Type.Conflict(s.types[v]) {
		s.conflict(fmt.Errorf("initializer %s: declared %v, stored %v", v.Name, v.Type, s.types[v]))
	}
}

func (s *Info) node(n *graph.Node, opset func(string) int64) {
	if s.visits++; s.visits > maxVisits {
		return
	}
	r, err := op.Resolve(n, opset)
	if f := s.model.Function(n.Domain, n.Op, n.Overload); f != nil {
		if err := s.call(n, f); err != nil {
			s.conflict(fmt.Errorf("node %s: %w", n.Title(), err))
		}
		return
	}
	if err != nil { // opaque: what is declared is all that is known
		for _, v := range n.Outputs() {
			if v != nil {
				s.types[v] = v.Type
			}
		}
		s.enterSubgraphs(n, opset)
		return
	}
	f := s.inputs(n)
	f.Graph = func(g *graph.Graph, in []graph.Type) ([]graph.Type, error) { return s.subgraph(g, in, opset) }
	if err := r.InferTypes(f); err != nil {
		s.conflict(err)
	}
	for i, v := range n.Outputs() {
		if v != nil {
			s.output(n, v, f.Out[i], f.Data[i])
		}
	}
	s.evaluate(n, r)
}

func (s *Info) inputs(n *graph.Node) *op.Infer {
	f := &op.Infer{Attrs: op.Attrs{Node: n}}
	for _, v := range n.Inputs() {
		f.In = append(f.In, s.Type(v))
	}
	f.Const = func(i int) *tensor.Tensor { return s.Const(n.In(i)) }
	f.InData = func(i int) ([]dim.Dim, bool) { return s.Data(n.In(i)) }
	f.Symbol = s.symbol
	f.Must = func(i, axis int, size dim.Dim) { s.must(n, n.In(i), axis, size) }
	return f
}

// must narrows the type of v by what its reader n demands, if n is computed in
// every run in which v is.
func (s *Info) must(n *graph.Node, v *graph.Value, axis int, size dim.Dim) {
	used := slices.ContainsFunc(n.Outputs(), func(v *graph.Value) bool { return v != nil && (v.IsOutput() || len(v.Uses()) > 0) })
	if v.Def() == nil || v.Graph() != n.Graph() || !used {
		return
	}
	t := s.types[v]
	t.Shape, t.Wire = slices.Clone(t.Shape), nil
	t.Shape[axis] = size
	s.types[v] = t
}

// symbolPrefix starts the names of sizes that inference makes up.
const symbolPrefix = "unk__"

func (s *Info) symbol() dim.Dim { return s.newSymbol(dim.Fresh) }

func (s *Info) newSymbol(of func(string) dim.Dim) dim.Dim {
	s.symbols++
	return of(symbolPrefix + strconv.Itoa(s.symbols))
}

// named is t with a new symbol for every unknown size of a tensor, so that what
// is computed from it can be told equal. "?" is no name: exporters write it for
// sizes that differ.
func (s *Info) named(t graph.Type, of func(string) dim.Dim) graph.Type {
	cloned := false
	for i, d := range t.Shape {
		if d.Known() && !d.Equal(dim.Sym("?")) {
			continue
		}
		if !cloned {
			t.Shape, t.Wire, cloned = slices.Clone(t.Shape), nil, true
		}
		t.Shape[i] = s.newSymbol(of)
	}
	return t
}

// ofAnyItem is t without symbols in what sequences hold: the items of a
// sequence that comes from outside or out of a subgraph may differ in size.
func ofAnyItem(t graph.Type) graph.Type {
	if t.Of == nil {
		return t
	}
	of := ofAnyItem(*t.Of)
	if t.Kind == graph.SequenceKind {
		of.Shape = slices.Clone(of.Shape)
		for i, d := range of.Shape {
			if _, ok := d.Const(); !ok {
				of.Shape[i] = dim.Unknown
			}
		}
	}
	t.Of, t.Wire = &of, nil
	return t
}

// lastSymbol is the highest number among the symbols of the model that look
// made up, so that new ones differ.
func lastSymbol(g *graph.Graph, inputs map[string]graph.Type) int {
	last, names := 0, map[string]bool{}
	see := func(t graph.Type) {
		clear(names)
		for _, d := range t.Shape {
			d.Symbols(names)
		}
		for name := range names {
			if n, err := strconv.Atoi(strings.TrimPrefix(name, symbolPrefix)); err == nil {
				last = max(last, n)
			}
		}
	}
	for _, t := range inputs {
		see(t)
	}
	for v := range g.Values() {
		see(v.Type)
	}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			last = max(last, lastSymbol(sub, nil))
		}
	}
	return last
}

func (s *Info) output(n *graph.Node, v *graph.Value, t graph.Type, data []dim.Dim) {
	if v.Type.Conflict(t) {
		s.conflict(fmt.Errorf("node %s: output %s is declared %v, inferred %v", n.Title(), v.Name, v.Type, t))
	}
	if !t.Known() { // an element type cannot be disproved here; a shape could be wrong
		t = graph.Type{Kind: v.Type.Kind, Elem: v.Type.Elem, Of: v.Type.Of}
	} else if t.Elem == 0 && t.Kind == graph.TensorKind {
		t.Elem = v.Type.Elem
	}
	for range n.Subgraphs() {
		t = ofAnyItem(t)
		break
	}
	s.types[v] = s.named(t, dim.Fresh)
	if data != nil && len(data) <= maxData && op.CarriesData(t.Elem) {
		s.data[v] = data
	}
}

func (s *Info) subgraph(g *graph.Graph, in []graph.Type, opset func(string) int64) ([]graph.Type, error) {
	if s.depth++; s.depth > maxDepth {
		s.depth--
		return nil, fmt.Errorf("subgraphs nest deeper than %d", maxDepth)
	}
	defer func() { s.depth-- }()
	if in != nil && len(in) != len(g.Inputs()) {
		return nil, fmt.Errorf("graph %s has %d inputs, %d are given", g.Name, len(g.Inputs()), len(in))
	}
	for i, v := range g.Inputs() {
		t := v.Type
		if in != nil {
			t = in[i]
			if !t.Known() {
				t = v.Type
			}
		}
		s.types[v] = t
		delete(s.data, v)
		delete(s.consts, v)
	}
	s.forget(g)
	s.graph(g, opset)
	out := make([]graph.Type, len(g.Outputs()))
	for i, v := range g.Outputs() {
		out[i] = s.types[v]
	}
	return out, nil
}

// forget drops the constants of an earlier visit: a loop body is inferred
// several times, with ever less known of its inputs.
func (s *Info) forget(g *graph.Graph) {
	for n := range g.Nodes() {
		for _, v := range n.Outputs() {
			delete(s.data, v)
			delete(s.consts, v)
		}
	}
}

// enterSubgraphs infers the graphs of an opaque node as far as they go alone.
func (s *Info) enterSubgraphs(n *graph.Node, opset func(string) int64) {
	for g := range n.Subgraphs() {
		if _, err := s.subgraph(g, nil, opset); err != nil {
			s.conflict(fmt.Errorf("node %s: %w", n.Title(), err))
		}
	}
}

// call infers a model-local function with the types of one call.
func (s *Info) call(n *graph.Node, f *graph.Function) error {
	g, err := f.Instantiate(n)
	if err != nil {
		return err
	}
	for i, v := range g.Inputs() {
		s.types[v] = s.Type(n.In(i))
		if d, ok := s.data[n.In(i)]; ok && n.In(i) != nil {
			s.data[v] = d
		}
		if c := s.Const(n.In(i)); c != nil {
			s.consts[v] = c
		}
	}
	if s.depth++; s.depth > maxDepth {
		s.depth--
		return fmt.Errorf("function %s calls itself or nests deeper than %d", f.Name, maxDepth)
	}
	s.graph(g, f.Opset)
	s.depth--
	for i, v := range n.Outputs() {
		if v != nil && i < len(g.Outputs()) {
			o := g.Outputs()[i]
			s.output(n, v, s.types[o], s.data[o])
			if c := s.consts[o]; c != nil {
				s.consts[v] = c
			}
		}
	}
	return nil
}

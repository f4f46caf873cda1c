// Package convert rewrites models for other opsets of ai.onnx, and other versions
// of ai.onnx.ml: upward always, downward where the older opset can say the same.
//
// A conversion is a walk over single opsets. What changed in an operator
// between two of them is one Adapter in Table; an operator without an adapter
// keeps its meaning, and its node is only checked against the other schema.
package convert

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
)

// To converts m, with its subgraphs and model-local functions, to an opset of
// ai.onnx and raises the IR version to what that needs. Operators of other
// domains stay as they are. An error names the opset, the node and why the
// other opset cannot say the same; m has not changed then.
func To(m *graph.Model, opset int64) error { return Domain(m, "", opset) }

// Domain is To for the operators of a domain: ai.onnx, which is "", or
// ai.onnx.ml. A model that does not import it stays as it is.
func Domain(m *graph.Model, domain string, version int64) error {
	domain = graph.CanonicalDomain(domain)
	v, ok := versions[domain]
	if !ok {
		return fmt.Errorf("domain %s: no conversions are known", domain)
	}
	if version < 1 || version > v.newest {
		return fmt.Errorf("%s %d is not between 1 and %d", v.title, version, v.newest)
	}
	if err := to(m.Clone(), domain, version); err != nil {
		return err
	}
	return to(m, domain, version)
}

func to(m *graph.Model, domain string, version int64) (err error) {
	defer func() { // malformed nodes, such as an axis beyond the rank
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed model: %v", p)
		}
	}()
	w := &walk{model: m, domain: domain, fixed: m.IRVersion < 4}
	if from := m.Opset(domain); from != 0 {
		m.IRVersion = max(m.IRVersion, irVersion(domain, version)) // first, as it decides how constants are written
		if err := w.graph(m.Graph, from, version, func(v int64) { m.SetOpset(domain, v) }); err != nil {
			return err
		}
	}
	for _, f := range m.Functions {
		from := f.Opset(domain)
		if from == 0 {
			continue
		}
		m.IRVersion = max(m.IRVersion, irVersion(domain, version))
		w.function = f
		set := func(v int64) {
			for i, o := range f.Opsets {
				if graph.CanonicalDomain(o.Domain) == domain {
					f.Opsets[i] = graph.Opset{Domain: o.Domain, Version: v}
				}
			}
		}
		if err := w.graph(f.Body, from, version, set); err != nil {
			return fmt.Errorf("function %s: %w", f.Name, err)
		}
	}
	return nil
}

// versions is what is known of a domain: its newest version, the adapters, and
// the oldest IR version that may import a version, by the first that needs it.
var versions = map[string]struct {
	title    string
	newest   int64
	adapters []Adapter
	ir       [][2]int64
}{
	"": {"opset", op.MaxOpset, Table, [][2]int64{
		{1, 3}, {9, 4}, {10, 5}, {11, 6}, {12, 7}, {15, 8}, {19, 9}, {21, 10}, {23, 11}, {24, 12}, {25, 13}, {28, 14}}},
	"ai.onnx.ml": {"version of ai.onnx.ml", op.MaxML, mlTable, [][2]int64{{1, 3}, {2, 6}, {3, 8}, {4, 9}, {5, 10}}},
}

// IRVersion is the oldest IR version of models that import an opset.
func IRVersion(opset int64) int64 { return irVersion("", opset) }

func irVersion(domain string, version int64) int64 {
	ir := int64(3)
	for _, v := range versions[domain].ir {
		if v[0] <= version {
			ir = v[1]
		}
	}
	return ir
}

// walk is one conversion.
type walk struct {
	model    *graph.Model
	domain   string
	function *graph.Function // whose body is converted; nil for the main graph
	info     *shape.Info     // nil where values were replaced since
	// fixed: before IR version 4, initializers were inputs and counted as constants.
	fixed bool
}

func (w *walk) graph(g *graph.Graph, from, to int64, set func(int64)) error {
	v := versions[w.domain]
	if from > v.newest {
		return fmt.Errorf("%s %d is newer than %d", v.title, from, v.newest)
	}
	for from != to {
		s := &step{walk: w, from: from, to: from + 1}
		if to < from {
			s.to = from - 1
		}
		if err := s.graph(g); err != nil {
			return fmt.Errorf("%s %d to %d: %w", v.title, s.from, s.to, err)
		}
		from = s.to
		set(from)
	}
	return nil
}

// step is the conversion between two neighbouring opsets.
type step struct {
	*walk
	from, to int64
	added    bool  // nodes, whose outputs have no types yet
	err      error // an attribute that cannot be read
}

func (s *step) graph(g *graph.Graph) error {
	type change struct {
		n        *graph.Node
		d        *op.Def
		old, new *op.Version
	}
	var changes []change
	for _, n := range innerFirst(g, nil) {
		if graph.CanonicalDomain(n.Domain) != s.domain || s.model.Function(n.Domain, n.Op, n.Overload) != nil {
			continue
		}
		d := op.Find(s.domain, n.Op)
		if d == nil {
			return fmt.Errorf("node %s: operator %s is not known", n.Title(), n.Op)
		}
		c := change{n, d, d.At(s.from), d.At(s.to)}
		if c.old == nil {
			return fmt.Errorf("node %s: operator %s is not in %s %d", n.Title(), n.Op, versions[s.domain].title, s.from)
		}
		if c.old != c.new {
			changes = append(changes, c)
		}
	}
	if len(changes) > 0 && s.info == nil { // while the model is still of one opset
		s.info = shape.Infer(s.model)
	}
	for _, c := range changes {
		if c.n.Graph() == nil { // a constant that nothing reads any more
			continue
		}
		title := c.n.Title()
		if err := s.node(c.n, c.d, c.old, c.new); err != nil {
			return fmt.Errorf("node %s: %w", title, err)
		}
	}
	if s.added {
		s.info = nil
	}
	return nil
}

// innerFirst appends the nodes of g and of its subgraphs, a node behind those that
// it holds: an adapter may put a copy in its place.
func innerFirst(g *graph.Graph, list []*graph.Node) []*graph.Node {
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			list = innerFirst(sub, list)
		}
		list = append(list, n)
	}
	return list
}

// node converts one node whose operator has another version in the other
// opset; new is nil where it has none.
func (s *step) node(n *graph.Node, d *op.Def, old, new *op.Version) error {
	a, title := find(versions[s.domain].adapters, n.Op, max(s.from, s.to)), versions[s.domain].title
	var adapt func(*step, *graph.Node) error
	switch {
	case a == nil:
	case s.to > s.from:
		adapt = a.Up
	default:
		adapt = a.Down
	}
	if new == nil && adapt == nil {
		if t := s.fold(n, d, old); t != nil {
			return s.become(n, t)
		}
		return fmt.Errorf("operator %s came with %s %d", n.Op, title, s.from)
	}
	if adapt != nil {
		if err := adapt(s, n); err != nil {
			return err
		}
		if s.err != nil {
			return s.err
		}
	}
	if n.Graph() == nil || n.Op != d.Name { // replaced
		return nil
	}
	if new == nil || new.Deprecated {
		return fmt.Errorf("operator %s is not in %s %d", n.Op, title, s.to)
	}
	return s.fit(n, old, new)
}

// fit makes what the older schema leaves to defaults explicit where defaults
// differ, and fails where the node says what the new schema cannot.
func (s *step) fit(n *graph.Node, oldVersion, newVersion *op.Version) error {
	old, err := oldVersion.Parsed()
	if err != nil {
		return err
	}
	new, err := newVersion.Parsed()
	if err != nil {
		return err
	}
	for _, spec := range old.Attrs {
		to := new.Attr(spec.Name)
		if spec.Default != nil && to != nil && n.Attr(spec.Name) == nil && (to.Default == nil || !sameAttr(to.Default, spec.Default)) {
			n.SetAttr(spec.Default.Clone())
		}
	}
	for _, a := range slices.Clone(n.Attrs) {
		switch spec := new.Attr(a.Name); {
		case spec != nil && (spec.Kind == a.Kind || a.Ref != ""):
		case a.Name == "consumed_inputs", isDefault(old, a) && s.to < s.from:
			n.RemoveAttr(a.Name)
		default:
			return fmt.Errorf("attribute %s has no counterpart", a.Name)
		}
	}
	for _, spec := range new.Attrs {
		if spec.Required && n.Attr(spec.Name) == nil {
			return fmt.Errorf("attribute %s is missing", spec.Name)
		}
	}
	if err := s.fitInputs(n, old, new); err != nil {
		return err
	}
	return s.fitOutputs(n, old, new)
}

func (s *step) fitInputs(n *graph.Node, old, new *op.Schema) error {
	n.SetInputs(slices.Clone(n.Inputs())...) // trailing absent ones go
	for i, v := range n.Inputs() {
		p := new.InParam(i)
		switch {
		case p == nil:
			return fmt.Errorf("input %d (%s) has no counterpart", i, v)
		case v == nil && !p.Optional && !p.Variadic:
			return fmt.Errorf("input %s is missing", p.Name)
		case v != nil && !s.allowed(v, old.InParam(i), p):
			return fmt.Errorf("input %s has type %v", p.Name, s.info.Type(v))
		}
	}
	for i, p := range new.In {
		if !p.Optional && !p.Variadic && n.In(i) == nil {
			return fmt.Errorf("input %s is missing", p.Name)
		}
	}
	return s.fitTies(n, old, new)
}

// fitTies declines inputs of two types where only the new schema wants one.
func (s *step) fitTies(n *graph.Node, old, new *op.Schema) (err error) {
	unranked := func(i int) graph.Type {
		t := s.info.Type(n.In(i))
		t.Ranked, t.Shape = false, nil
		return t
	}
	new.Ties(len(n.Inputs()), func(i int) bool { return unranked(i).Known() }, func(first, i int) {
		was, is := old.InParam(first), old.InParam(i)
		t, u := unranked(first), unranked(i)
		if err == nil && was != nil && is != nil && was.Type != is.Type && t.Conflict(u) {
			err = fmt.Errorf("inputs %s and %s have types %v and %v, want one type", new.InParam(first).Name, new.InParam(i).Name, t, u)
		}
	})
	return err
}

func (s *step) fitOutputs(n *graph.Node, old, new *op.Schema) error {
	for i := len(n.Outputs()) - 1; i >= 0; i-- {
		v, p := n.Out(i), new.OutParam(i)
		if p == nil && v != nil {
			if len(v.Uses()) > 0 {
				return fmt.Errorf("output %s has no counterpart", v.Name)
			}
			n.DropOut(i)
		} else if v != nil && !s.allowed(v, old.OutParam(i), p) {
			return fmt.Errorf("output %s has type %v", p.Name, s.info.Type(v))
		}
	}
	return nil
}

// allowed reports that the type of v, where it is known and fits the old
// schema, fits the new one.
func (s *step) allowed(v *graph.Value, was, is *op.Param) bool {
	t := s.info.Type(v)
	if !t.Known() || was == nil || !accepts(*was, t) {
		return true
	}
	return accepts(*is, t)
}

func accepts(p op.Param, t graph.Type) bool {
	return slices.ContainsFunc(p.Allowed, func(a graph.Type) bool { return !a.Conflict(t) })
}

// isDefault reports that an attribute says what its absence says.
func isDefault(s *op.Schema, a *graph.Attr) bool {
	spec := s.Attr(a.Name)
	return spec != nil && spec.Default != nil && sameAttr(spec.Default, a)
}

func sameAttr(a, b *graph.Attr) bool {
	return a.Kind == b.Kind && a.Ref == "" && b.Ref == "" && a.F == b.F && a.I == b.I && a.S == b.S &&
		slices.Equal(a.Ints, b.Ints) && slices.Equal(a.Floats, b.Floats) && slices.Equal(a.Strings, b.Strings)
}

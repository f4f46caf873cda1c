package op

import (
	"errors"
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
)

// Verify checks the meaning of every node whose domain is known here: the
// operator exists at the imported opset and is not deprecated, arity,
// attributes and their types. Types and shapes are package shape's matter.
func Verify(m *graph.Model) []error {
	var errs []error
	for n := range m.Graph.All() {
		if m.Function(n.Domain, n.Op, n.Overload) != nil || !knownDomain(n.Domain) {
			continue
		}
		r, err := Resolve(n, m.Opset)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if v := r.Def.At(m.Opset(n.Domain)); v.Deprecated {
			errs = append(errs, fmt.Errorf("node %s: operator %s is deprecated since opset %d", n.Title(), n.Op, v.Since))
		}
		for _, e := range r.Schema.verify(n) {
			errs = append(errs, fmt.Errorf("node %s: %w", n.Title(), e))
		}
	}
	return errs
}

// Fits says what keeps n from being evaluated: arity, a required attribute, or
// the type of an attribute. Unknown attributes are ignored.
func (r Resolved) Fits(n *graph.Node) error {
	for _, e := range r.Schema.verify(n) {
		if !errors.Is(e, errUnknownAttr) {
			return fmt.Errorf("node %s: %w", n.Title(), e)
		}
	}
	return nil
}

var errUnknownAttr = errors.New("unknown attribute")

func knownDomain(d string) bool {
	d = graph.CanonicalDomain(d)
	return d == "" || d == "ai.onnx.ml" || d == "ai.onnx.preview" || d == "ai.onnx.preview.training"
}

func (s *Schema) verify(n *graph.Node) []error {
	errs := append(arity("input", s.In, n.Inputs()), arity("output", s.Out, n.Outputs())...)
	for _, a := range n.Attrs {
		spec := s.Attr(a.Name)
		switch {
		case spec == nil:
			errs = append(errs, fmt.Errorf("%w %s", errUnknownAttr, a.Name))
		case a.Ref == "" && spec.Kind != a.Kind:
			errs = append(errs, fmt.Errorf("attribute %s has another type than the operator's", a.Name))
		}
	}
	for _, spec := range s.Attrs {
		if spec.Required && n.Attr(spec.Name) == nil {
			errs = append(errs, fmt.Errorf("attribute %s is missing", spec.Name))
		}
	}
	return errs
}

func arity(kind string, params []Param, values []*graph.Value) []error {
	var errs []error
	for i := range values {
		if p := paramAt(params, i); p != nil && p.Variadic && i >= len(params)-1 && values[i] == nil && kind == "input" {
			errs = append(errs, fmt.Errorf("%s %s: value %d is missing", kind, p.Name, i))
		} else if p == nil {
			return []error{fmt.Errorf("%d %ss, at most %d are allowed", len(values), kind, len(params))}
		}
	}
	for i, p := range params {
		have := i < len(values) && values[i] != nil
		switch {
		case p.Variadic && max(len(values)-i, 0) < p.Min:
			errs = append(errs, fmt.Errorf("%s %s needs at least %d values", kind, p.Name, p.Min))
		case !p.Variadic && !p.Optional && !have && kind == "input":
			errs = append(errs, fmt.Errorf("%s %s is missing", kind, p.Name))
		}
	}
	return errs
}

// CheckTypes checks the types of a node's inputs, as far as they are known,
// against the operator's schema: each is allowed, and those of one type
// variable agree.
func CheckTypes(m *graph.Model, n *graph.Node, typeOf func(*graph.Value) graph.Type) []error {
	if m.Function(n.Domain, n.Op, n.Overload) != nil || !knownDomain(n.Domain) {
		return nil
	}
	r, err := Resolve(n, m.Opset)
	if err != nil {
		return nil // Verify says so
	}
	var errs []error
	types := make([]graph.Type, len(n.Inputs()))
	for i, v := range n.Inputs() {
		p, t := r.Schema.InParam(i), typeOf(v)
		if v == nil || p == nil || !t.Known() {
			continue
		}
		if slices.ContainsFunc(p.Allowed, func(a graph.Type) bool { return !a.Conflict(t) }) {
			types[i] = unranked(t)
		} else {
			errs = append(errs, fmt.Errorf("node %s: input %s has type %v", n.Title(), p.Name, t))
		}
	}
	r.Schema.Ties(len(types), func(i int) bool { return types[i].Known() }, func(first, i int) {
		if types[first].Conflict(types[i]) {
			errs = append(errs, fmt.Errorf("node %s: input %s has type %v, others %v", n.Title(), r.Schema.InParam(i).Name, typeOf(n.In(i)), types[first]))
		}
	})
	return errs
}

// Package check says what is wrong with a model: all that onnx.checker with
// full_check finds, and what it leaves out, such as stored data beyond its file.
package check

import (
	"fmt"

	"onnxopt/onnx/convert"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// Model lists the faults of m: those of the file that reading it put right,
// of its structure, of operators and their attributes, of types and of shapes.
func Model(m *graph.Model) []error {
	var errs []error
	for _, r := range m.Repaired {
		errs = append(errs, fmt.Errorf("%s", r))
	}
	if err := m.Verify(); err != nil {
		return append(errs, err)
	}
	errs = append(errs, versions(m)...)
	errs = append(errs, names(m.Graph)...)
	errs = append(errs, declared(m)...)
	errs = append(errs, op.Verify(m)...)
	s := shape.Infer(m)
	errs = append(errs, s.Conflicts...)
	for n := range m.Graph.All() {
		errs = append(errs, op.CheckTypes(m, n, s.Type)...)
	}
	return errs
}

// versions checks the IR version and the imports.
func versions(m *graph.Model) []error {
	var errs []error
	newest := convert.IRVersion(op.MaxOpset)
	switch {
	case m.IRVersion == 0:
		errs = append(errs, fmt.Errorf("the model has no IR version"))
	case m.IRVersion > newest:
		errs = append(errs, fmt.Errorf("IR version %d is newer than %d", m.IRVersion, newest))
	case m.IRVersion < 3 && len(m.Opsets) > 0:
		errs = append(errs, fmt.Errorf("IR version %d has no opset imports", m.IRVersion))
	case m.IRVersion >= 3 && len(m.Opsets) == 0:
		errs = append(errs, fmt.Errorf("the model imports no opset"))
	}
	errs = append(errs, imports(m.Graph, m.Opset)...)
	for _, f := range m.Functions {
		for _, err := range imports(f.Body, f.Opset) {
			errs = append(errs, fmt.Errorf("function %s: %w", f.Name, err))
		}
	}
	return errs
}

// imports checks that the domain of every node is imported.
func imports(g *graph.Graph, opset func(string) int64) []error {
	var errs []error
	seen := map[string]bool{}
	for n := range g.All() {
		d := graph.CanonicalDomain(n.Domain)
		if !seen[d] && opset(d) == 0 {
			errs = append(errs, fmt.Errorf("node %s: no opset of domain %q is imported", n.Title(), d))
		}
		seen[d] = true
	}
	return errs
}

// names checks that graphs have some.
func names(g *graph.Graph) []error {
	var errs []error
	if g.Name == "" {
		errs = append(errs, fmt.Errorf("the graph has no name"))
	}
	for n := range g.All() {
		for sub := range n.Subgraphs() {
			if sub.Name == "" {
				errs = append(errs, fmt.Errorf("node %s: its graph has no name", n.Title()))
			}
		}
	}
	return errs
}

// declared checks that inputs and outputs have types and, before IR version 4,
// that initializers are inputs.
func declared(m *graph.Model) []error {
	var errs []error
	typed := func(kind string, v *graph.Value) {
		if !v.Type.Known() {
			errs = append(errs, fmt.Errorf("%s %s has no type", kind, v.Name))
		} else if !elementsKnown(v.Type) {
			errs = append(errs, fmt.Errorf("%s %s has no element type", kind, v.Name))
		}
	}
	for _, v := range m.Graph.Inputs() {
		typed("input", v)
	}
	for i := range m.Graph.Outputs() {
		typed("output", m.Graph.OutputInfo(i))
	}
	for v := range m.Graph.Initializers() {
		if m.IRVersion < 4 && !v.IsInput() {
			errs = append(errs, fmt.Errorf("initializer %s is no input, as IR version %d wants", v.Name, m.IRVersion))
		}
		if v.IsInput() && v.Data.Tensor != nil && v.Type.Conflict(graph.TypeOf(v.Data.Tensor)) {
			errs = append(errs, fmt.Errorf("initializer %s: declared %v, stored %v", v.Name, v.Type, v.Data.Tensor))
		}
	}
	return errs
}

// elementsKnown reports that the tensors in a type have an element type.
func elementsKnown(t graph.Type) bool {
	switch t.Kind {
	case graph.TensorKind, graph.SparseKind:
		return t.Elem != tensor.Undefined
	case graph.SequenceKind, graph.OptionalKind, graph.MapKind:
		return t.Of != nil && elementsKnown(*t.Of)
	}
	return true
}

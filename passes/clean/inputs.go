package clean

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// FixShapes gives graph inputs the shapes, and symbols the sizes, that the
// settings name, in all declared types. It fails on what contradicts the model.
var FixShapes = pass.Pass{
	Name: "fix-shapes",
	Doc:  "fix shapes of graph inputs (--input-shape) and sizes of symbols (--dim)",
	Run: func(c *pass.Context, m *graph.Model) error {
		sizes := map[string]dim.Dim{}
		for name, n := range c.Settings.Dims {
			sizes[name] = dim.Of(n)
		}
		for name := range c.Settings.InputShapes {
			if v := m.Graph.Find(name); v == nil || !v.IsInput() {
				return fmt.Errorf("no graph input is named %q", name)
			}
		}
		for _, v := range m.Graph.Inputs() {
			want, ok := c.Settings.InputShapes[v.Name]
			if !ok {
				continue
			}
			if err := fixInput(v, want, sizes); err != nil {
				return fmt.Errorf("input %s: %w", v.Name, err)
			}
			c.ChangedValue(v, "shape fixed to %v", v.Type)
		}
		return substitute(c, m, sizes)
	},
}

// fixInput sets the shape of v and collects what its symbols thereby are.
func fixInput(v *graph.Value, want []int64, sizes map[string]dim.Dim) error {
	t := v.Type
	if t.Kind != graph.TensorKind || t.Ranked && len(t.Shape) != len(want) {
		return fmt.Errorf("is %v, not of shape %v", t, want)
	}
	shape := make([]dim.Dim, len(want))
	for i, n := range want {
		shape[i] = dim.Of(n)
		if !t.Ranked {
			continue
		}
		old := t.Shape[i]
		if old.Conflict(shape[i]) {
			return fmt.Errorf("is %v, not of shape %v", t, want)
		}
		symbols := map[string]bool{}
		old.Symbols(symbols)
		if len(symbols) != 1 || !old.Equal(dim.Sym(old.String())) {
			continue
		}
		if was, ok := sizes[old.String()]; ok && was.Conflict(shape[i]) {
			return fmt.Errorf("%s is %v and %v", old, was, shape[i])
		}
		sizes[old.String()] = shape[i]
	}
	v.Type.Ranked, v.Type.Shape, v.Type.Wire = true, shape, nil
	return nil
}

// substitute puts sizes in place of symbols in every declared type.
func substitute(c *pass.Context, m *graph.Model, sizes map[string]dim.Dim) error {
	if len(sizes) == 0 {
		return nil
	}
	used := map[string]bool{}
	visit := func(t *graph.Type) bool {
		changed := false
		for i, d := range t.Shape {
			d.Symbols(used)
			if f := d.Substitute(sizes); !f.Equal(d) && f.Known() {
				t.Shape[i], changed = f, true
			}
		}
		if changed {
			t.Wire = nil
		}
		return changed
	}
	for _, v := range m.Graph.Inputs() {
		if visit(&v.Type) {
			c.ChangedValue(v, "shape fixed to %v", v.Type)
		}
	}
	graphs := []*graph.Graph{m.Graph}
	for n := range m.Graph.All() {
		for g := range n.Subgraphs() {
			graphs = append(graphs, g)
		}
	}
	for _, g := range graphs {
		for v := range g.Values() {
			visit(&v.Type)
		}
		for i := range g.Outputs() {
			visit(&g.OutputInfo(i).Type)
		}
	}
	for name := range c.Settings.Dims {
		if !used[name] {
			return fmt.Errorf("no declared shape has the symbol %q", name)
		}
	}
	return nil
}

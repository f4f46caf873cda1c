package runtime

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// inferenceCheck compares what inference says of a model's values with what a
// run computes: types, shapes with the symbols that the inputs bind, and the
// elements of shape tensors.
type inferenceCheck struct {
	info    *shape.Info
	symbols map[string]dim.Dim
	err     error // the first contradiction
}

func newInferenceCheck(m *graph.Model) (*inferenceCheck, error) {
	c := &inferenceCheck{info: shape.Infer(m), symbols: map[string]dim.Dim{}}
	if len(c.info.Conflicts) > 0 {
		return nil, fmt.Errorf("inference: %w", c.info.Conflicts[0])
	}
	return c, nil
}

// learn takes the sizes of x for the symbols that stand for them, so that they
// must be the same wherever they stand.
func (c *inferenceCheck) learn(t graph.Type, x *tensor.Tensor) {
	if len(t.Shape) != len(x.Shape) {
		return
	}
	for i, d := range t.Shape {
		set := map[string]bool{}
		d.Symbols(set)
		for name := range set {
			if d.Equal(dim.Sym(name)) {
				c.symbols[name] = dim.Of(int64(x.Shape[i]))
			}
		}
	}
}

func (c *inferenceCheck) observe(v *graph.Value, value tensor.Value) {
	if c.err == nil {
		if err := c.contradiction(v, value); err != nil {
			c.err = fmt.Errorf("inference: value %s: %w", v.Name, err)
		}
	}
}

func (c *inferenceCheck) contradiction(v *graph.Value, value tensor.Value) error {
	want := c.info.Type(v)
	if err := c.typeOf(want, value); err != nil {
		return fmt.Errorf("inferred %v: %w", want, err)
	}
	t, ok := value.(*tensor.Tensor)
	if !ok {
		return nil
	}
	if k := c.info.Const(v); k != nil && !k.Equal(t) {
		return fmt.Errorf("inferred constant %v differs", k)
	}
	data, ok := c.info.Data(v)
	if !ok {
		return nil
	}
	if t.Rank() > 1 || len(data) != t.Len() {
		return fmt.Errorf("inferred %d elements of %v", len(data), t)
	}
	for i, got := range t.Floats() {
		if n, ok := data[i].Substitute(c.symbols).Const(); ok && float64(n) != got {
			return fmt.Errorf("element %d inferred %v, computed %v", i, data[i], got)
		}
	}
	return nil
}

func (c *inferenceCheck) typeOf(want graph.Type, value tensor.Value) error {
	switch x := value.(type) {
	case *tensor.Tensor:
		want.Shape = slices.Clone(want.Shape)
		for i, d := range want.Shape {
			want.Shape[i] = d.Substitute(c.symbols)
		}
		if got := graph.TypeOf(x); want.Conflict(got) {
			return fmt.Errorf("computed %v", got)
		}
		c.learn(want, x)
	case *tensor.Sequence:
		if want.Known() && want.Kind != graph.SequenceKind {
			return fmt.Errorf("computed a sequence")
		}
		for _, item := range x.Items {
			if want.Of != nil {
				if err := c.typeOf(*want.Of, item); err != nil {
					return err
				}
			}
		}
	case *tensor.Optional:
		if want.Known() && want.Kind != graph.OptionalKind {
			return fmt.Errorf("computed an optional")
		}
		if want.Of != nil && x.Value != nil {
			return c.typeOf(*want.Of, x.Value)
		}
	}
	return nil
}

// observeRun runs m with the reference: what its nodes compute, by name.
func observeRun(m *graph.Model, in []tensor.Value) (map[string]tensor.Value, error) {
	computed := map[string]tensor.Value{}
	s, err := Compile(m, Options{Reference: true, Observe: func(v *graph.Value, x tensor.Value) { computed[v.Name] = x }})
	if err != nil {
		return nil, err
	}
	_, err = s.Run(context.Background(), in)
	return computed, err
}

// inferenceVariants is ways to infer a model, which they may change, from the
// inputs of a run.
var inferenceVariants = []struct {
	name  string
	types func(v *graph.Value, x *tensor.Tensor) graph.Type // nil: as declared
	fixed func(x *tensor.Tensor) bool                       // inputs that become constants
}{
	{"constants", nil, func(*tensor.Tensor) bool { return true }},
	{"constant integers, a symbol for each size", symbolic, func(x *tensor.Tensor) bool { return x.Type.IsInt() && x.Rank() < 2 }},
	{"a symbol for each size", symbolic, nil},
	{"unknown sizes", func(_ *graph.Value, x *tensor.Tensor) graph.Type {
		return graph.TensorOf(x.Type, make([]dim.Dim, x.Rank())...)
	}, nil},
	{"unknown ranks", func(_ *graph.Value, x *tensor.Tensor) graph.Type { return graph.Unranked(x.Type) }, nil},
	{"unknown types", func(*graph.Value, *tensor.Tensor) graph.Type { return graph.Type{} }, nil},
}

func symbolic(v *graph.Value, x *tensor.Tensor) graph.Type {
	shape := make([]dim.Dim, x.Rank())
	for i := range shape {
		shape[i] = dim.Sym(fmt.Sprintf("%s_%d", v.Name, i))
	}
	return graph.TensorOf(x.Type, shape...)
}

// inferVariant infers m with constants in place of some inputs and other types
// of the rest.
func inferVariant(m *graph.Model, in []tensor.Value, types func(*graph.Value, *tensor.Tensor) graph.Type, fixed func(*tensor.Tensor) bool) *shape.Info {
	inputs := map[string]graph.Type{}
	for i, v := range m.Graph.Inputs() {
		x, ok := in[i].(*tensor.Tensor)
		if !ok {
			continue
		}
		if types != nil {
			inputs[v.Name] = types(v, x)
		}
		if fixed != nil && fixed(x) && !v.IsOutput() {
			v.ReplaceNodeUses(m.Graph.AddInitializer(v.Name, &graph.Data{Tensor: x}))
		}
	}
	return shape.InferInputs(m, inputs)
}

// TestInference infers the models of ONNX's own tests from less and from more
// than they declare; no variant may contradict what the reference computes.
func TestInference(t *testing.T) {
	root := os.Getenv("ONNXOPT_CONFORMANCE")
	if root == "" {
		t.Skip("ONNXOPT_CONFORMANCE is not set")
	}
	cases, err := filepath.Glob(filepath.Join(root, "*", "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := readConformance("CONFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	known, outputs := make([]int, len(inferenceVariants)), 0
	for _, path := range cases {
		name := filepath.Base(filepath.Dir(path))
		if _, fails := list[name]; fails || excluded[name] != "" {
			continue
		}
		m, err := onnx.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		in, err := loadValues(filepath.Join(filepath.Dir(path), "test_data_set_0"), "input", m.Graph.Inputs())
		if err != nil {
			t.Fatal(err)
		}
		computed, err := observeRun(m, in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		outputs += len(m.Graph.Outputs())
		for i, variant := range inferenceVariants {
			m := m.Clone()
			c := &inferenceCheck{info: inferVariant(m, in, variant.types, variant.fixed), symbols: map[string]dim.Dim{}}
			full, err := c.compare(m, in, computed)
			if err != nil {
				t.Errorf("%s, %s: %v", name, variant.name, err)
			}
			known[i] += full
		}
	}
	for i, v := range inferenceVariants {
		t.Logf("%s: %d of %d output shapes follow", v.name, known[i], outputs)
	}
}

// compare checks every value of the main graph and counts the graph's outputs
// whose sizes follow from those of the inputs.
func (c *inferenceCheck) compare(m *graph.Model, in []tensor.Value, computed map[string]tensor.Value) (known int, err error) {
	if len(c.info.Conflicts) > 0 {
		return 0, c.info.Conflicts[0]
	}
	for i, v := range m.Graph.Inputs() {
		if x, ok := in[i].(*tensor.Tensor); ok {
			c.observe(v, x)
		}
	}
	bound := maps.Clone(c.symbols)
	for n := range m.Graph.Nodes() {
		for _, v := range n.Outputs() {
			if x, ok := computed[v.String()]; ok {
				c.observe(v, x)
			}
		}
	}
	for _, v := range m.Graph.Outputs() {
		t := c.info.Type(v)
		for i, d := range t.Shape {
			t.Shape = slices.Clone(t.Shape)
			t.Shape[i] = d.Substitute(bound)
		}
		if _, ok := t.Static(); ok {
			known++
		}
	}
	return known, c.err
}

package runtime

import (
	"fmt"
	"slices"

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

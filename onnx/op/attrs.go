package op

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Attrs reads the attributes of a node with the defaults of its schema.
type Attrs struct {
	Node   *graph.Node
	Since  int64 // the operator's version in force
	Schema *Schema
}

// Attr is the attribute, or the schema's default, or nil.
func (a *Attrs) Attr(name string) *graph.Attr {
	if x := a.Node.Attr(name); x != nil {
		return x
	}
	if a.Schema != nil {
		if s := a.Schema.Attr(name); s != nil {
			return s.Default
		}
	}
	return nil
}

// Has reports that the attribute is given or has a default.
func (a *Attrs) Has(name string) bool { return a.Attr(name) != nil }

// Int is an integer attribute, 0 without one.
func (a *Attrs) Int(name string) int {
	if x := a.Attr(name); x != nil {
		return int(x.I)
	}
	return 0
}

// Float is a float attribute, 0 without one.
func (a *Attrs) Float(name string) float64 {
	if x := a.Attr(name); x != nil {
		return float64(x.F)
	}
	return 0
}

// Str is a string attribute, "" without one.
func (a *Attrs) Str(name string) string {
	if x := a.Attr(name); x != nil {
		return x.S
	}
	return ""
}

// Ints is an integer list, nil without one.
func (a *Attrs) Ints(name string) []int {
	x := a.Attr(name)
	if x == nil {
		return nil
	}
	out := make([]int, len(x.Ints))
	for i, v := range x.Ints {
		out[i] = int(v)
	}
	return out
}

// Floats is a float list, nil without one.
func (a *Attrs) Floats(name string) []float32 {
	if x := a.Attr(name); x != nil {
		return x.Floats
	}
	return nil
}

// Strings is a string list, nil without one.
func (a *Attrs) Strings(name string) []string {
	if x := a.Attr(name); x != nil {
		return x.Strings
	}
	return nil
}

// TensorAttr is a tensor attribute, nil without one.
func (a *Attrs) TensorAttr(name string) *tensor.Tensor {
	if x := a.Attr(name); x != nil && x.T != nil {
		return x.T.Tensor
	}
	return nil
}

// Graph is a subgraph attribute, nil without one.
func (a *Attrs) Graph(name string) *graph.Graph {
	if x := a.Attr(name); x != nil {
		return x.G
	}
	return nil
}

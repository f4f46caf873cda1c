package clean

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Identity removes nodes that hand their input on unchanged.
var Identity = pass.Pass{
	Name: "identity",
	Doc:  "remove nodes that change nothing: Identity, inference Dropout, Cast, Transpose, Reshape, Pad, Slice, ... without effect",
	Run:  runIdentity,
}

func runIdentity(c *pass.Context, m *graph.Model) error {
	s := c.Shapes()
	for n := range m.Graph.All() {
		why := noEffect(n, s, m)
		if why == "" {
			continue
		}
		in, out := n.In(0), n.Out(0)
		switch {
		case !out.CanReplace(in):
			c.Kept(n, "%s, but it names the graph output %s", why, out.Name)
		case othersRead(n):
			c.Kept(n, "%s, but its other outputs are read", why)
		case !c.Allow():
			return nil
		default:
			out.ReplaceAll(in)
			c.Changed(n, "removed: %s", why)
			n.Graph().Remove(n)
		}
	}
	c.KeepShapes(s)
	return nil
}

func othersRead(n *graph.Node) bool {
	for _, v := range n.Outputs()[1:] {
		if v != nil && len(v.Uses()) > 0 {
			return true
		}
	}
	return false
}

// noEffect says why output 0 of n equals its input 0, "" if it may not.
func noEffect(n *graph.Node, s *shape.Info, m *graph.Model) string {
	if graph.CanonicalDomain(n.Domain) != "" || n.In(0) == nil || n.Out(0) == nil {
		return ""
	}
	r, err := op.Resolve(n, m.Opset)
	if err != nil {
		return ""
	}
	a := &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}
	in, out := s.Type(n.In(0)), s.Type(n.Out(0))
	switch n.Op {
	case "Identity":
		return "identity"
	case "Dropout":
		if r.Since >= 12 && n.In(2) != nil && !constant(s.Const(n.In(2)), 0) || r.Since < 7 && a.Int("is_test") == 0 {
			return ""
		}
		return "dropout does nothing in inference"
	case "Cast":
		if in.Elem != 0 && in.Elem == tensor.DType(a.Int("to")) {
			return "cast to the type it has"
		}
	case "Concat", "Sum", "Max", "Min", "Mean":
		if len(n.Inputs()) == 1 {
			return "single input"
		}
	case "Transpose":
		if perm := a.Ints("perm"); perm != nil && ascending(perm) {
			return "permutation is the identity"
		}
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile", "Slice", "Pad":
		if sameShape(in, out) && (n.Op != "Slice" || forwardSlice(n, s, r.Since)) {
			return "result has the input's shape " + in.String()
		}
	}
	return ""
}

func constant(t *tensor.Tensor, want float64) bool {
	return t != nil && t.Len() == 1 && t.Type != tensor.String && t.Floats()[0] == want
}

func ascending(perm []int) bool {
	for i, p := range perm {
		if p != i {
			return false
		}
	}
	return true
}

// sameShape reports that both are certainly of one shape.
func sameShape(a, b graph.Type) bool {
	if !a.Ranked || !b.Ranked || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i, d := range a.Shape {
		if !dim.Dim.Equal(d, b.Shape[i]) {
			return false
		}
	}
	return true
}

// forwardSlice reports that no axis is reversed: then a slice of full size is
// the input itself.
func forwardSlice(n *graph.Node, s *shape.Info, since int64) bool {
	if since < 10 || n.In(4) == nil {
		return true
	}
	steps := s.Const(n.In(4))
	if steps == nil {
		return false
	}
	for _, k := range steps.Ints() {
		if k != 1 {
			return false
		}
	}
	return true
}

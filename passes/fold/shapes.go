package fold

import (
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Shapes computes each list of symbolic sizes once: where two integer tensors
// hold the same expressions of the same symbols, the second reads the first;
// sizes that stand together in the shape of a graph input are one Shape of it.
var Shapes = pass.Pass{
	Name:  "shape-computation",
	Doc:   "compute equal symbolic sizes once, take sizes from the graph inputs",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		s := &sizes{e: &rewrite.Editor{Context: c, Model: m, Shape: c.Shapes()}}
		s.graph(m.Graph, nil)
		c.KeepShapes(s.e.Shape)
		return nil
	},
}

type sizes struct{ e *rewrite.Editor }

// known maps the text of a list of sizes to the value that holds it, in one
// graph and those around it.
type known struct {
	values map[string]*graph.Value
	outer  *known
}

func (k *known) find(key string) *graph.Value {
	for ; k != nil; k = k.outer {
		if v := k.values[key]; v != nil && v.Live() {
			return v
		}
	}
	return nil
}

func (s *sizes) graph(g *graph.Graph, outer *known) {
	k := &known{map[string]*graph.Value{}, outer}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			s.graph(sub, k)
		}
		if n.Graph() == nil || len(n.Outputs()) != 1 || n.Out(0) == nil {
			continue
		}
		s.node(n, k)
	}
}

func (s *sizes) node(n *graph.Node, k *known) {
	v := n.Out(0)
	t := s.e.Type(v)
	data, ok := s.e.Shape.Data(v)
	if !ok || !t.Ranked || len(t.Shape) > 1 || t.Elem != tensor.Int64 && t.Elem != tensor.Int32 || s.e.Attrs(n) == nil {
		return
	}
	key, symbolic := keyOf(t, data)
	if !symbolic {
		return
	}
	if first := k.find(key); first != nil {
		if v.CanReplace(first) && s.e.Allow() {
			s.e.Replace(n, v, first, "the same sizes as %s", first.Name)
		}
		return
	}
	k.values[key] = v
	if w := s.fromInput(n, t, data); w != nil {
		k.values[key] = w
	}
}

// keyOf is equal for values that hold the same elements; false unless all are
// known and one is symbolic.
func keyOf(t graph.Type, data []dim.Dim) (string, bool) {
	parts := make([]string, len(data), len(data)+1)
	symbolic := false
	for i, d := range data {
		if !d.Known() {
			return "", false
		}
		if _, c := d.Const(); !c {
			symbolic = true
		}
		parts[i] = d.String()
	}
	return strings.Join(append(parts, t.String()), ","), symbolic
}

// fromInput computes sizes as one Shape of a graph input where they stand
// together in its declared shape; nil if that is not possible or is so already.
func (s *sizes) fromInput(n *graph.Node, t graph.Type, data []dim.Dim) *graph.Value {
	if s.e.Opset() < 15 || len(t.Shape) != 1 || t.Elem != tensor.Int64 {
		return nil
	}
	for _, in := range s.e.Model.Graph.Inputs() {
		if n.Is("Shape") && n.In(0) == in {
			return nil
		}
		start := window(s.e.Type(in).Shape, data)
		if start < 0 {
			continue
		}
		if n.Out(0).IsOutput() || !s.e.Allow() {
			return nil
		}
		var attrs []*graph.Attr
		if start > 0 {
			attrs = append(attrs, graph.Int("start", int64(start)))
		}
		if end := start + len(data); end < len(s.e.Type(in).Shape) {
			attrs = append(attrs, graph.Int("end", int64(end)))
		}
		w := s.e.Add(n, "Shape", []*graph.Value{in}, attrs...)
		s.e.Replace(n, n.Out(0), w, "sizes of the input %s", in.Name)
		return w
	}
	return nil
}

// window is where data stands in shape, -1 if nowhere.
func window(shape, data []dim.Dim) int {
	for i := 0; i+len(data) <= len(shape); i++ {
		ok := true
		for j, d := range data {
			ok = ok && d.Equal(shape[i+j])
		}
		if ok {
			return i
		}
	}
	return -1
}

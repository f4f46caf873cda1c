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
// hold the same expressions of the same symbols, the second reads the first; and
// sizes that stand together in the shape of a value are one Shape of it.
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

// known is what one graph, in the order of its nodes, and those around it hold.
type known struct {
	values  map[string]*graph.Value // integer tensors by the text of their elements
	windows map[string]window       // parts of the shapes of values by their text
	outer   *known
}

// window is sizes [start, end) of the shape of a value.
type window struct {
	of         *graph.Value
	start, end int
}

func newKnown(outer *known) *known {
	return &known{map[string]*graph.Value{}, map[string]window{}, outer}
}

func (k *known) find(key string) *graph.Value {
	for ; k != nil; k = k.outer {
		if v := k.values[key]; v != nil && v.Live() {
			return v
		}
	}
	return nil
}

func (k *known) window(key string) (window, bool) {
	for ; k != nil; k = k.outer {
		if w, ok := k.windows[key]; ok && w.of.Live() {
			return w, true
		}
	}
	return window{}, false
}

// maxRank bounds the shapes whose parts are remembered.
const maxRank = 6

// cost ranks the values whose shape can be read: engines have graph inputs, and
// what several nodes read, in memory as they are; what one node reads they fuse
// with it, if nothing else asks for it, and results of convolutions they keep in
// a layout of their own.
func cost(v *graph.Value) int {
	switch {
	case v.IsInput():
		return 0
	case v.Def() != nil && v.Def().Is("Conv"):
		return 3
	}
	readers := 0
	for _, u := range v.Uses() {
		if u.Node == nil || !u.Node.Is("Shape") {
			if readers++; readers > 1 {
				return 1
			}
		}
	}
	return 1 + readers
}

// remember adds the parts of v's shape that have a symbol, where no cheaper
// value has them.
func (k *known) remember(v *graph.Value, t graph.Type) {
	if len(t.Shape) > maxRank {
		return
	}
	own := cost(v)
	for start := range t.Shape {
		for end := start + 1; end <= len(t.Shape); end++ {
			key, symbolic := keyOf(t.Shape[start:end])
			if key == "" {
				break
			}
			if w, ok := k.windows[key]; symbolic && (!ok || !w.of.Live() || own < cost(w.of)) {
				k.windows[key] = window{v, start, end}
			}
		}
	}
}

// keyOf is equal for equal lists of sizes; "" unless all are known.
func keyOf(data []dim.Dim) (key string, symbolic bool) {
	var b strings.Builder
	for _, d := range data {
		if !d.Known() {
			return "", false
		}
		if _, c := d.Const(); !c {
			symbolic = true
		}
		b.WriteString(d.String())
		b.WriteByte(',')
	}
	return b.String(), symbolic
}

func (s *sizes) graph(g *graph.Graph, outer *known) {
	k := newKnown(outer)
	if outer == nil {
		for _, v := range g.Inputs() {
			k.remember(v, s.e.Type(v))
		}
	}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			s.graph(sub, k)
		}
		if len(n.Outputs()) == 1 && n.Out(0) != nil {
			s.node(n, k)
		}
		if n.Graph() == nil {
			continue
		}
		for _, v := range n.Outputs() {
			if v != nil {
				k.remember(v, s.e.Type(v))
			}
		}
	}
}

// node replaces n by what is known already, or by one Shape, or joins the
// parts of a Concat.
func (s *sizes) node(n *graph.Node, k *known) {
	v := n.Out(0)
	t := s.e.Type(v)
	data, ok := s.e.Shape.Data(v)
	if !ok || !t.Ranked || len(t.Shape) > 1 || t.Elem != tensor.Int64 && t.Elem != tensor.Int32 || s.e.Attrs(n) == nil {
		return
	}
	sizes, symbolic := keyOf(data)
	if !symbolic {
		return
	}
	key := sizes + t.String()
	if first := k.find(key); first != nil {
		if v.CanReplace(first) && s.e.Allow() {
			s.e.Replace(n, v, first, "the same sizes as %s", first.Name)
		}
		return
	}
	k.values[key] = v
	if s.e.Opset() < 15 || len(t.Shape) != 1 || t.Elem != tensor.Int64 || v.IsOutput() {
		return
	}
	if w, ok := k.window(sizes); ok && (!n.Is("Shape") || cost(w.of) < cost(n.In(0))) {
		if s.e.Allow() {
			k.values[key] = s.shapeOf(n, w)
			s.e.Replace(n, v, k.values[key], "sizes of %s", w.of.Name)
		}
		return
	}
	if n.Is("Concat") {
		s.join(n, data, k)
	}
}

// shapeOf is the sizes of a window, before n.
func (s *sizes) shapeOf(n *graph.Node, w window) *graph.Value {
	var attrs []*graph.Attr
	if w.start > 0 {
		attrs = append(attrs, graph.Int("start", int64(w.start)))
	}
	if w.end < len(s.e.Type(w.of).Shape) {
		attrs = append(attrs, graph.Int("end", int64(w.end)))
	}
	return s.e.Add(n, "Shape", []*graph.Value{w.of}, attrs...)
}

// join makes a Concat of sizes one of fewer parts: runs of constants, and the
// longest runs that stand together in the shape of a value.
func (s *sizes) join(n *graph.Node, data []dim.Dim, k *known) {
	type part struct {
		window
		constant []int64
	}
	var parts []part
	for i := 0; i < len(data); {
		if c, ok := data[i].Const(); ok {
			if last := len(parts) - 1; last >= 0 && parts[last].of == nil {
				parts[last].constant = append(parts[last].constant, c)
			} else {
				parts = append(parts, part{constant: []int64{c}})
			}
			i++
			continue
		}
		end := len(data)
		for ; end > i; end-- {
			key, _ := keyOf(data[i:end])
			if w, ok := k.window(key); ok {
				parts = append(parts, part{window: w})
				break
			}
		}
		if end == i {
			return
		}
		i = end
	}
	if len(parts) >= len(n.Inputs()) || !s.e.Allow() {
		return
	}
	in := make([]*graph.Value, len(parts))
	for i, p := range parts {
		if p.of == nil {
			in[i] = s.e.Ints(n, p.constant...)
		} else {
			in[i] = s.shapeOf(n, p.window)
		}
	}
	s.e.Replace(n, n.Out(0), s.e.Add(n, "Concat", in, graph.Int("axis", 0)), "joined to %d parts", len(parts))
}

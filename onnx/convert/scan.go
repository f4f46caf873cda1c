package convert

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
)

// scanUp9: Scan of opset 8 ran for each element of a batch. An outer Scan over
// the batch, without carried values, does that around the Scan of opset 9.
func scanUp9(s *step, n *graph.Node) error {
	if n.In(0) != nil {
		return fmt.Errorf("sequence_lens %s", n.In(0))
	}
	scans := s.int(n, "num_scan_inputs", 0)
	body := n.Attr("body")
	if body == nil || body.G == nil {
		return fmt.Errorf("no body")
	}
	in := slices.Clone(n.Inputs()[1:])
	g := n.Graph()
	outer := g.NewSubgraph(g.Fresh(outName(n) + "_batch"))
	var rows []*graph.Value
	for _, v := range in {
		t := s.info.Type(v)
		if t.Ranked && len(t.Shape) > 0 {
			t.Shape = t.Shape[1:]
		}
		t.Wire = nil
		rows = append(rows, outer.AddInput(g.Fresh(outName(n)+"_row"), t))
	}
	var names []string
	for range n.Outputs() {
		names = append(names, g.Fresh(outName(n)+"_of_row"))
	}
	attrs := []*graph.Attr{graph.GraphAttr("body", g.CloneSubgraph(body.G, map[*graph.Value]*graph.Value{})), graph.Int("num_scan_inputs", scans)}
	if d := s.attr(n, "directions"); d != nil {
		attrs = append(attrs, graph.Ints("scan_input_directions", d.Ints...))
	}
	inner := outer.NewNode("Scan", rows, names, attrs...)
	outer.InsertBefore(nil, inner)
	for i, v := range inner.Outputs() {
		outer.AddOutput(v)
		if out := n.Out(i); out != nil {
			t := s.info.Type(out)
			if t.Ranked && len(t.Shape) > 0 {
				t.Shape = t.Shape[1:]
			}
			t.Wire = nil
			v.Type = t
		}
	}
	n.RemoveAttr("directions")
	n.RemoveAttr("body")
	n.SetInputs(in...)
	n.SetAttr(graph.GraphAttr("body", outer))
	n.SetAttr(graph.Int("num_scan_inputs", int64(len(in))))
	s.added = true
	return nil
}

// scanDown9 makes a batch of one.
func scanDown9(s *step, n *graph.Node) error {
	for _, name := range []string{"scan_input_axes", "scan_output_axes", "scan_output_directions"} {
		if a := s.attr(n, name); a != nil && slices.ContainsFunc(a.Ints, func(x int64) bool { return x != 0 }) {
			return fmt.Errorf("%s = %v", name, a.Ints)
		}
		n.RemoveAttr(name)
	}
	if a := n.Attr("scan_input_directions"); a != nil {
		a.Name = "directions"
	}
	in := []*graph.Value{nil}
	for _, v := range n.Inputs() {
		in = append(in, s.add(n, "Unsqueeze", []*graph.Value{v}, graph.Ints("axes", 0)))
	}
	c := s.copyOf(n, in)
	values := make([]*graph.Value, len(n.Outputs()))
	for i, v := range c.Outputs() {
		if v != nil {
			values[i] = s.add(n, "Squeeze", []*graph.Value{v}, graph.Ints("axes", 0))
		}
	}
	return s.replace(n, values...)
}

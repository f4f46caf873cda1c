package compare

import (
	"slices"

	"onnxopt/onnx/graph"
)

// choosers are the operators whose result depends on which elements of their
// input are largest or not zero: a small change moves whole elements.
var choosers = []string{"TopK", "NonZero", "NonMaxSuppression", "Compress", "Unique"}

// Candidates are the values from which a model's outputs are chosen, such as
// boxes and scores before non-maximum suppression, in graph order, and the
// outputs that are so chosen. Those cannot be compared element by element.
func Candidates(m *graph.Model) (values []*graph.Value, chosen map[*graph.Value]bool) {
	chosen = map[*graph.Value]bool{}
	seen := map[*graph.Value]bool{}
	for n := range m.Graph.Nodes() {
		depends := n.Is(choosers...) && varies(n.In(0))
		var reads []*graph.Value
		read := func(v *graph.Value) {
			if v != nil && v.Graph() == m.Graph {
				reads = append(reads, v)
				depends = depends || chosen[v]
			}
		}
		for _, v := range n.Inputs() {
			read(v)
		}
		n.Captures(read)
		if !depends {
			continue
		}
		for _, v := range n.Outputs() {
			if v != nil {
				chosen[v] = true
			}
		}
		for _, v := range reads {
			if varies(v) && !chosen[v] && !seen[v] {
				seen[v] = true
				values = append(values, v)
			}
		}
	}
	for v := range chosen {
		if !v.IsOutput() {
			delete(chosen, v)
		}
	}
	if len(chosen) == 0 {
		return nil, chosen
	}
	at := map[*graph.Value]int{}
	for n := range m.Graph.Nodes() {
		for _, v := range n.Outputs() {
			at[v] = len(at)
		}
	}
	slices.SortStableFunc(values, func(a, b *graph.Value) int { return at[a] - at[b] })
	return values, chosen
}

// varies reports that v is computed by a node.
func varies(v *graph.Value) bool { return v != nil && v.Const() == nil && v.Def() != nil }

// Package clean holds the passes that remove what a graph does not need.
package clean

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/passes/pass"
)

// Dead removes nodes whose results nothing reads, trailing optional outputs
// that nothing reads, and unused initializers, in subgraphs too.
var Dead = pass.Pass{
	Name:  "dead-code",
	Group: "simplify",
	Doc:   "remove nodes, optional outputs and initializers that no output needs",
	Run:   func(c *pass.Context, m *graph.Model) error { dead(c, m, m.Graph); return nil },
}

func dead(c *pass.Context, m *graph.Model, g *graph.Graph) {
	for n := range g.Backward() {
		if unread(n) {
			if _, err := op.Resolve(n, m.Opset); err != nil && m.Function(n.Domain, n.Op, n.Overload) == nil {
				c.Kept(n, "nothing reads it, but the operator is unknown")
				continue
			}
			if !c.Allow() {
				return
			}
			c.Changed(n, "removed: nothing reads it")
			g.Remove(n)
			continue
		}
		dropOutputs(c, m, n)
		for sub := range n.Subgraphs() {
			dead(c, m, sub)
		}
	}
	for v := range g.Initializers() {
		if len(v.Uses()) == 0 && !v.IsInput() {
			if !c.Allow() {
				return
			}
			c.ChangedValue(v, "removed initializer: nothing reads it")
			g.RemoveInitializer(v)
		}
	}
}

func unread(n *graph.Node) bool {
	for _, v := range n.Outputs() {
		if v != nil && len(v.Uses()) > 0 {
			return false
		}
	}
	return true
}

// dropOutputs makes optional outputs that nothing reads absent, from the last
// one on; operators that are unknown here keep theirs, and recurrent ones, whose outputs
// OpenCV tells apart by their number.
func dropOutputs(c *pass.Context, m *graph.Model, n *graph.Node) {
	r, err := op.Resolve(n, m.Opset)
	if err != nil || n.Is("If", "Loop", "Scan", "Split", "GRU", "LSTM", "RNN") {
		return
	}
	for i := len(n.Outputs()) - 1; i > 0; i-- {
		v, p := n.Out(i), r.Schema.OutParam(i)
		if v == nil || len(v.Uses()) > 0 || p == nil || !p.Optional || !c.Allow() {
			return
		}
		c.Changed(n, "output %s dropped: nothing reads it", v.Name)
		n.DropOut(i)
	}
}

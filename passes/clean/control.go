package clean

import (
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Control replaces an If with a constant condition by the branch taken, and a
// Loop that certainly runs at most once by its body; Ifs of one condition are
// merged. A Loop of a few turns is unrolled where that leaves fewer nodes.
var Control = pass.Pass{
	Name:  "control-flow",
	Doc:   "inline the taken branch of a constant If and Loops of at most one turn, unroll Loops that shrink, merge Ifs of one condition",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{
			{Ops: []string{"If"}, Apply: inlineIf},
			{Ops: []string{"Equal"}, Apply: rankTest},
			{Ops: []string{"If"}, Apply: swapBranches},
			{Ops: []string{"If"}, Apply: mergeIfs},
			{Ops: []string{"Loop"}, Apply: unrollLoop},
			{Ops: []string{"Scan"}, Apply: func(e *rewrite.Editor, n *graph.Node) { e.Kept(n, "a Scan is not unrolled") }},
		})
		return nil
	},
}

func inlineIf(e *rewrite.Editor, n *graph.Node) {
	cond := e.Shape.Const(n.In(0))
	if cond == nil || cond.Len() != 1 {
		return
	}
	name := "else_branch"
	if cond.Bools()[0] {
		name = "then_branch"
	}
	a := n.Attr(name)
	if a == nil || a.G == nil || len(a.G.Outputs()) < len(n.Outputs()) || !e.Allow() {
		return
	}
	mapped := map[*graph.Value]*graph.Value{}
	insert(n, a.G, mapped)
	replaceOutputs(e, n, "condition is constant: "+name+" inlined", func(i int) *graph.Value { return through(mapped, a.G.Outputs()[i]) })
}

func through(mapped map[*graph.Value]*graph.Value, v *graph.Value) *graph.Value {
	if w, ok := mapped[v]; ok {
		return w
	}
	return v
}

// replaceOutputs ends the inlining of n: output i is value(i).
func replaceOutputs(e *rewrite.Editor, n *graph.Node, detail string, value func(i int) *graph.Value) {
	for i, v := range n.Outputs() {
		if v != nil {
			standFor(n, v, value(i))
		}
	}
	e.Changed(n, "%s", detail)
	n.Graph().Remove(n)
	e.Shape = e.Shapes()
}

package clean

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Control replaces an If with a constant condition by the branch taken, and a
// Loop that certainly runs at most once by its body; Ifs of one condition are
// merged.
var Control = pass.Pass{
	Name:  "control-flow",
	Doc:   "inline the taken branch of a constant If and Loops of at most one turn, merge Ifs of one condition",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{
			{Ops: []string{"If"}, Apply: inlineIf},
			{Ops: []string{"Equal"}, Apply: rankTest},
			{Ops: []string{"If"}, Apply: swapBranches},
			{Ops: []string{"If"}, Apply: mergeIfs},
			{Ops: []string{"Loop"}, Apply: inlineLoop},
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

// inlineLoop handles a constant trip count of 0 or 1.
func inlineLoop(e *rewrite.Editor, n *graph.Node) {
	body := n.Attr("body")
	trip, cond := e.Shape.Const(n.In(0)), e.Shape.Const(n.In(1))
	if body == nil || body.G == nil || trip == nil || trip.Len() != 1 || n.In(1) != nil && (cond == nil || cond.Len() != 1) {
		return
	}
	turns := trip.Ints()[0]
	if cond != nil && !cond.Bools()[0] {
		turns = 0
	}
	states := len(body.G.Inputs()) - 2
	switch {
	case turns <= 0 && len(n.Outputs()) <= states:
		if e.Allow() {
			replaceOutputs(e, n, "the loop never runs", func(i int) *graph.Value { return n.In(i + 2) })
		}
	case turns == 1 && len(body.G.Inputs()) == len(n.Inputs()):
		if e.Allow() {
			unrollOnce(e, n, body.G, states)
		}
	}
}

func unrollOnce(e *rewrite.Editor, n *graph.Node, body *graph.Graph, states int) {
	mapped := map[*graph.Value]*graph.Value{}
	mapped[body.Inputs()[0]] = e.Const(n, tensor.Scalar(int64(0)))
	mapped[body.Inputs()[1]] = e.Const(n, tensor.FromBools(nil, []bool{true}))
	for i := range states {
		mapped[body.Inputs()[i+2]] = n.In(i + 2)
	}
	insert(n, body, mapped)
	replaceOutputs(e, n, "the loop runs once: body inlined", func(i int) *graph.Value {
		v := through(mapped, body.Outputs()[i+1])
		if i < states {
			return v
		}
		axes := e.Ints(n, 0)
		if e.Opset() < 13 {
			return n.Graph().Add(n, "Unsqueeze", v.Name, []*graph.Value{v}, graph.Ints("axes", 0))
		}
		return n.Graph().Add(n, "Unsqueeze", v.Name, []*graph.Value{v, axes})
	})
}

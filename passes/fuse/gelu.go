package fuse

import (
	"onnxopt/onnx/graph"
	"onnxopt/passes/rewrite"
)

// scaleGelu takes the division out of x*(1+erf(x/r)) between two convolutions:
// the first computes u = x/r, the second reads r*u*(1+erf(u)). Below opset 20
// that is all that is left of a Gelu there.
func scaleGelu(e *rewrite.Editor, n *graph.Node) {
	for i := range 2 {
		x, sum := n.In(i), rewrite.Alone(n.In(1-i), "Add")
		if sum == nil {
			continue
		}
		erf, one, _ := operand(sum)
		if v, ok := rewrite.Uniform(one.Const()); erf == nil || !ok || v != 1 || rewrite.Alone(erf, "Erf") == nil {
			continue
		}
		div := rewrite.Alone(erf.Def().In(0), "Div", "Mul")
		if div == nil || len(x.Uses()) != 2 {
			continue
		}
		a, ok := affineAt(div)
		if !ok || a.x != x || a.scale.Len() != 1 || e.Rank(a.x) != e.Rank(div.Out(0)) {
			continue
		}
		scaleBetween(e, n, x, div, a.scale.Floats()[0])
		return
	}
}

// scaleBetween moves the factor of div into the convolutions around n.
func scaleBetween(e *rewrite.Editor, n *graph.Node, x *graph.Value, div *graph.Node, factor float64) {
	to := n.Out(0).Only()
	if to == nil || !to.Is("Conv") || to.In(0) != n.Out(0) || x.Def() == nil || !x.Def().Is("Conv") || factor == 0 {
		return
	}
	first, _ := linearAt(e, x.Def())
	second, _ := linearAt(e, to)
	if first == nil || second == nil || !e.Allow() {
		return
	}
	down, up := make([]float64, first.channels), make([]float64, second.inputs())
	for i := range down {
		down[i] = factor
	}
	for i := range up {
		up[i] = 1 / factor
	}
	first.scaleOut(down, nil)
	second.scaleIn(up, nil)
	e.Replace(div, div.Out(0), x, "moved into %s and %s", first.node.Title(), to.Title())
}

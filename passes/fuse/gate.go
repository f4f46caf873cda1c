package fuse

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/rewrite"
)

// factorOut makes x + x*h, of an h that is broadcast to x, x*(h+1): the sum of
// a squeeze-and-excitation block with its input, for far fewer elements.
func factorOut(e *rewrite.Editor, n *graph.Node) {
	for i := range 2 {
		x, mul := n.In(i), rewrite.Alone(n.In(1-i), "Mul")
		if mul == nil || mul.In(0) != x && mul.In(1) != x {
			continue
		}
		h := mul.In(0)
		if h == x {
			h = mul.In(1)
		}
		t := e.Type(x)
		if !t.Elem.IsFloat() || !smaller(e.Type(h), t) || !e.Allow() {
			continue
		}
		sum := e.Add(n, "Add", []*graph.Value{h, e.Const(n, tensor.FromFloats(t.Elem, nil, []float64{1}))})
		e.Replace(n, n.Out(0), e.Add(n, "Mul", []*graph.Value{x, sum}), "factor %s taken out of the sum", x.Name)
		return
	}
}

// smaller reports that h is broadcast to the type t, along one axis at least.
func smaller(h, t graph.Type) bool {
	if !h.Ranked || !t.Ranked || len(h.Shape) != len(t.Shape) {
		return false
	}
	less := false
	for i, d := range h.Shape {
		if !d.Is(1) && !d.Equal(t.Shape[i]) {
			return false
		}
		less = less || d.Is(1) && !t.Shape[i].Is(1)
	}
	return less
}

// gateToClip makes HardSigmoid(Conv(x)) + c, which is
// max(0, min(1, alpha*Conv(x) + beta)) + c, Clip(Conv'(x), c, c+1), with alpha
// and beta + c folded into the weights.
func gateToClip(e *rewrite.Editor, n *graph.Node) {
	y, k, _ := operand(n)
	gate := rewrite.Alone(y, "HardSigmoid")
	if gate == nil || k.Const().Len() != 1 || e.Opset() < 11 || e.Rank(y) != e.Rank(n.Out(0)) {
		return
	}
	a, c := e.Attrs(gate), k.Const().Floats()[0]
	lin, why := linearBefore(e, gate.In(0))
	if lin == nil {
		e.Kept(gate, "%s", why)
		return
	}
	if a == nil || !lin.takesShift() || !finite([]float64{c}) || !e.Allow() {
		return
	}
	lin.scaleOut(slices.Repeat([]float64{a.Float("alpha")}, lin.channels), slices.Repeat([]float64{a.Float("beta") + c}, lin.channels))
	elem := e.Type(y).Elem
	bound := func(v float64) *graph.Value { return e.Const(n, tensor.FromFloats(elem, nil, []float64{v})) }
	e.Replace(n, n.Out(0), e.Add(n, "Clip", []*graph.Value{gate.In(0), bound(c), bound(c + 1)}), "%s became limits behind %s", gate.Title(), lin.node.Title())
}

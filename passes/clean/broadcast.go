package clean

import (
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/passes/rewrite"
)

// broadcasting is the element-wise operators that expand their inputs.
var broadcasting = []string{"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "Equal", "Less", "Greater", "LessOrEqual",
	"GreaterOrEqual", "And", "Or", "Xor"}

// dropExpand lets an operator that broadcasts do the work of an Expand before
// it, where the result keeps its shape.
func dropExpand(e *rewrite.Editor, n *graph.Node) {
	out := e.Type(n.Out(0))
	if e.Opset() < 8 || !out.Ranked {
		return
	}
	for i, v := range n.Inputs() {
		x := rewrite.Alone(v, "Expand")
		if x == nil || !e.Type(x.In(0)).Ranked {
			continue
		}
		var shapes [][]dim.Dim
		known := true
		for k, w := range n.Inputs() {
			if k == i {
				w = x.In(0)
			}
			known = known && e.Type(w).Ranked
			shapes = append(shapes, e.Type(w).Shape)
		}
		s, err := op.BroadcastDims(shapes...)
		if !known || err != nil || !slices.EqualFunc(s, out.Shape, dim.Dim.Equal) || !e.Allow() {
			continue
		}
		n.SetIn(i, x.In(0))
		e.Changed(x, "%s broadcasts by itself", n.Title())
		e.KeepShapes(e.Shape)
		e.Drop(x)
	}
}

// dropReduced makes a reduction that keeps its axes, behind which they are
// dropped, one that does not keep them.
func dropReduced(e *rewrite.Editor, n *graph.Node) {
	r := rewrite.Alone(n.In(0), "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2")
	if r == nil || r.Int("keepdims", 1) != 1 {
		return
	}
	in, out := e.Type(r.In(0)), e.Type(n.Out(0))
	axes, ok := e.Axes(r, 1, len(in.Shape))
	if !ok || !in.Ranked || !out.Ranked || len(axes) == 0 {
		return
	}
	var left []dim.Dim
	for i, d := range in.Shape {
		if !slices.Contains(axes, i) {
			left = append(left, d)
		}
	}
	if !slices.EqualFunc(left, out.Shape, dim.Dim.Equal) || !e.Allow() {
		return
	}
	attrs := append(rewrite.CloneAttrs(r.Attrs, "keepdims"), graph.Int("keepdims", 0))
	e.Replace(n, n.Out(0), e.Add(n, r.Op, slices.Clone(r.Inputs()), attrs...), "axes dropped by %s", r.Title())
}

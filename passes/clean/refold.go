package clean

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/passes/rewrite"
)

// mergeAroundTranspose merges the two changes of shape around a Transpose into
// one before it, where the second only splits axes or drops axes of size 1: how
// heads of attention are taken apart in three steps instead of two.
func mergeAroundTranspose(e *rewrite.Editor, n *graph.Node) {
	t := rewrite.Alone(n.In(0), "Transpose")
	if t == nil || e.Opset() < 5 {
		return
	}
	inner := rewrite.Alone(t.In(0), "Reshape", "Flatten", "Squeeze", "Unsqueeze")
	perm, ok := permutation(e, t)
	if inner == nil || !ok {
		return
	}
	from, to, out := e.Type(t.In(0)), e.Type(n.In(0)), e.Type(n.Out(0))
	if !from.Ranked || !to.Ranked || !out.Ranked {
		return
	}
	parts, ok := splitAxes(to.Shape, out.Shape)
	if !ok {
		return
	}
	shape, order := splitBefore(perm, parts)
	x := inner.In(0)
	target, ok := rewrite.ReshapeTarget(shape, e.Type(x))
	if !ok || !e.Allow() {
		return
	}
	y := e.Add(n, "Reshape", []*graph.Value{x, e.Ints(n, target...)})
	if !ascending(order) {
		y = e.Add(n, "Transpose", []*graph.Value{y}, graph.Ints("perm", int64s(order)...))
	}
	e.Replace(n, n.Out(0), y, "merged with %s before %s", inner.Title(), t.Title())
}

// splitAxes is the sizes of out that each axis of in becomes, none for an axis
// of size 1 that is dropped; false if axes are merged.
func splitAxes(in, out []dim.Dim) ([][]dim.Dim, bool) {
	parts := make([][]dim.Dim, len(in))
	j := 0
	for i, d := range in {
		if d.Is(1) && (j >= len(out) || !out[j].Is(1)) {
			continue
		}
		product := dim.Of(1)
		for j < len(out) && !product.Equal(d) || len(parts[i]) == 0 {
			if j >= len(out) {
				return nil, false
			}
			product = product.Mul(out[j])
			parts[i] = append(parts[i], out[j])
			j++
			if !product.Known() {
				return nil, false
			}
		}
		if !product.Equal(d) {
			return nil, false
		}
	}
	return parts, j == len(out)
}

// splitBefore is the shape with the axes split before a Transpose by perm
// instead of behind it, and the Transpose that then is needed.
func splitBefore(perm []int, parts [][]dim.Dim) (shape []dim.Dim, order []int) {
	start := make([]int, len(perm)) // where the parts of a source axis begin
	for source, i := range inverse(perm) {
		start[source] = len(shape)
		shape = append(shape, parts[i]...)
	}
	for i, source := range perm {
		for k := range parts[i] {
			order = append(order, start[source]+k)
		}
	}
	return shape, order
}

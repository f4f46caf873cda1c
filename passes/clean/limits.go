package clean

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/rewrite"
)

// limits is max(lo, min(hi, x)): what a Clip or Relu computes.
func limits(e *rewrite.Editor, n *graph.Node) (lo, hi float64, ok bool) {
	if n.Is("Relu") {
		return 0, math.Inf(1), true
	}
	a := e.Attrs(n)
	if a == nil || !n.Is("Clip") {
		return 0, 0, false
	}
	lo, hi = math.Inf(-1), math.Inf(1)
	if a.Since < 11 {
		if n.Attr("min") != nil {
			lo = a.Float("min")
		}
		if n.Attr("max") != nil {
			hi = a.Float("max")
		}
		return lo, hi, true
	}
	for i, to := range []*float64{&lo, &hi} {
		if v := n.In(i + 1); v != nil {
			t := e.Shape.Const(v)
			if t == nil || t.Len() != 1 {
				return 0, 0, false
			}
			*to = t.Floats()[0]
		}
	}
	return lo, hi, true
}

// mergeClips merges a Clip or Relu with the one before it.
func mergeClips(e *rewrite.Editor, n *graph.Node) {
	inner := rewrite.Alone(n.In(0), "Relu", "Clip")
	if inner == nil || e.Opset() < 11 || !e.Type(n.Out(0)).Elem.IsFloat() {
		return
	}
	lo1, hi1, ok := limits(e, inner)
	lo2, hi2, ok2 := limits(e, n)
	lo, hi := max(lo1, lo2), min(hi1, hi2)
	if !ok || !ok2 || lo > hi || !e.Allow() {
		return
	}
	if lo == 0 && math.IsInf(hi, 1) {
		e.Replace(n, n.Out(0), e.Add(n, "Relu", []*graph.Value{inner.In(0)}), "merged with %s", inner.Title())
		return
	}
	elem := e.Type(n.Out(0)).Elem
	bound := func(v float64) *graph.Value {
		if math.IsInf(v, 0) {
			return nil
		}
		return e.Const(n, tensor.FromFloats(elem, nil, []float64{v}))
	}
	e.Replace(n, n.Out(0), e.Add(n, "Clip", []*graph.Value{inner.In(0), bound(lo), bound(hi)}), "merged with %s", inner.Title())
}

// padWidths is the constant begins and ends of a Pad of any mode.
func padWidths(e *rewrite.Editor, n *graph.Node) ([]int64, bool) {
	if a := e.Attrs(n); a == nil || a.Since < 11 {
		pads := n.Ints("pads")
		return pads, pads != nil
	}
	t := e.Shape.Const(n.In(1))
	if t == nil {
		return nil, false
	}
	return t.Ints(), true
}

// padding is a constant-mode Pad: begin and end of every axis, and the value.
func padding(e *rewrite.Editor, n *graph.Node) (pads []int64, value float64, ok bool) {
	a := e.Attrs(n)
	if a == nil || a.Str("mode") != "constant" && a.Str("mode") != "" {
		return nil, 0, false
	}
	rank := e.Rank(n.In(0))
	if a.Since < 11 {
		return n.Ints("pads"), a.Float("value"), a.Since >= 2 && len(n.Ints("pads")) == 2*rank
	}
	t := e.Shape.Const(n.In(1))
	if t == nil || rank < 0 {
		return nil, 0, false
	}
	if v := n.In(2); v != nil {
		c := e.Shape.Const(v)
		if c == nil || c.Len() != 1 || c.Type == tensor.String {
			return nil, 0, false
		}
		value = c.Floats()[0]
	}
	given := t.Ints()
	if n.In(3) == nil {
		return given, value, len(given) == 2*rank
	}
	axes, ok := e.Axes(n, 3, rank)
	if !ok || len(given) != 2*len(axes) {
		return nil, 0, false
	}
	pads = make([]int64, 2*rank)
	for i, k := range axes {
		pads[k], pads[rank+k] = given[i], given[len(axes)+i]
	}
	return pads, value, true
}

func positive(pads []int64) bool { return len(pads) == 0 || slices.Min(pads) >= 0 }

// mergePads adds the widths of two Pads with the same value, and lets the
// convolution or pool behind a Pad do its work.
func mergePads(e *rewrite.Editor, n *graph.Node) {
	pads, value, ok := padding(e, n)
	if !ok || !positive(pads) {
		return
	}
	if inner := rewrite.Alone(n.In(0), "Pad"); inner != nil && e.Opset() >= 11 {
		more, v, ok := padding(e, inner)
		if ok && v == value && positive(more) && len(more) == len(pads) && e.Allow() {
			sum := slices.Clone(pads)
			for i := range sum {
				sum[i] += more[i]
			}
			e.Replace(n, n.Out(0), e.Add(n, "Pad", []*graph.Value{inner.In(0), e.Ints(n, sum...), n.In(2)}), "merged with %s", inner.Title())
			return
		}
	}
	padInto(e, n, pads, value)
}

// padInto moves a Pad of spatial axes into its only reader: a Conv, whose own
// padding is zeros, or an AveragePool that counts its padding as zeros.
func padInto(e *rewrite.Editor, n *graph.Node, pads []int64, value float64) {
	to := n.Out(0).Only()
	rank := len(pads) / 2
	if to == nil || to.In(0) != n.Out(0) || value != 0 || rank < 3 || !to.Is("Conv", "AveragePool") {
		return
	}
	if auto := to.Str("auto_pad", "NOTSET"); auto != "NOTSET" && auto != "VALID" {
		return
	}
	own := to.Ints("pads")
	if to.Is("AveragePool") && (to.Int("ceil_mode", 0) != 0 || len(own) > 0 && slices.Max(own) > 0 && to.Int("count_include_pad", 0) == 0) {
		return
	}
	if pads[0]+pads[1]+pads[rank]+pads[rank+1] != 0 {
		return
	}
	sum := slices.Concat(pads[2:rank], pads[rank+2:])
	for i, p := range own {
		if len(own) == len(sum) {
			sum[i] += p
		}
	}
	if !n.Out(0).CanReplace(n.In(0)) || !e.Allow() {
		return
	}
	to.RemoveAttr("auto_pad")
	to.SetAttr(graph.Ints("pads", sum...))
	if to.Is("AveragePool") {
		to.SetAttr(graph.Int("count_include_pad", 1))
	}
	e.Replace(n, n.Out(0), n.In(0), "moved into %s", to.Title())
}

package fuse

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Affine folds Add, Sub, Mul and Div by constants, one value for each channel,
// into the convolution, Gemm or MatMul before or behind them, joins chains of
// them, and turns a MatMul of matrices followed by a constant Add into Gemm.
// Transposes, and for single values Reshapes, may stand between. What ends the
// spelling of an activation or normalization stays: engines know those whole.
var Affine = pass.Pass{
	Name:   "fuse-affine",
	Doc:    "merge Add, Sub, Mul, Div by channel constants into Conv, Gemm and MatMul on either side; MatMul + Add into Gemm; x + x*h into x*(h+1)",
	Group:  "simplify",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		if m.Opset("") < 7 {
			return nil
		}
		known, err := rewrite.Compile(slices.Concat(activationRules, normRules))
		if err != nil {
			return err
		}
		rewrite.Run(c, m, []rewrite.Local{
			{Ops: []string{"Add"}, Apply: matMulToGemm},
			{Ops: []string{"Add"}, Apply: factorOut},
			{Ops: []string{"Add"}, Apply: gateToClip},
			{Ops: []string{"Add", "Sub", "Mul", "Div"}, Apply: func(e *rewrite.Editor, n *graph.Node) { joinConstants(e, n, known) }},
			{Ops: []string{"MatMul"}, Apply: joinFactors},
			{Ops: []string{"Add", "Sub", "Mul", "Div"}, Apply: intoBefore},
			{Ops: []string{"Add", "Sub", "Mul", "Div"}, Apply: func(e *rewrite.Editor, n *graph.Node) { intoBehind(e, n, known) }},
		})
		return nil
	},
}

// operand is the variable and the constant input of a binary node; swapped
// when the constant comes first.
func operand(n *graph.Node) (x, k *graph.Value, swapped bool) {
	a, b := n.In(0), n.In(1)
	switch {
	case a == nil || b == nil:
	case b.Const() != nil && a.Const() == nil:
		return a, b, false
	case a.Const() != nil && b.Const() == nil:
		return b, a, true
	}
	return nil, nil, false
}

// affine is scale*x + shift, with constants that broadcast to x.
type affine struct {
	x            *graph.Value
	scale, shift *tensor.Tensor // nil is 1 and 0
}

// affineAt is what a binary node with a constant or an inference
// BatchNormalization computes; false for other nodes.
func affineAt(n *graph.Node) (affine, bool) {
	if n.Is("BatchNormalization") {
		return batchNormAt(n)
	}
	if !n.Is("Add", "Sub", "Mul", "Div") {
		return affine{}, false
	}
	x, k, swapped := operand(n)
	if k == nil || !k.Const().Type.IsFloat() || swapped && n.Is("Div") || k.Const().Len() > 1<<16 {
		return affine{}, false
	}
	t := k.Const()
	switch {
	case n.Is("Add"):
		return affine{x: x, shift: t}, true
	case n.Is("Mul"):
		return affine{x: x, scale: t}, true
	case n.Is("Div"):
		return affine{x: x, scale: mapped(t, func(v float64) float64 { return 1 / v })}, true
	case swapped: // k - x
		return affine{x: x, scale: tensor.FromFloats(t.Type, nil, []float64{-1}), shift: t}, true
	}
	return affine{x: x, shift: mapped(t, func(v float64) float64 { return -v })}, true
}

// mapped is t in float64 with f applied, so that nothing is rounded twice.
func mapped(t *tensor.Tensor, f func(float64) float64) *tensor.Tensor {
	v := t.Floats()
	for i := range v {
		v[i] = f(v[i])
	}
	return tensor.FromFloats(tensor.Float64, t.Shape, v)
}

// channels is scale and shift for each place of an axis; false if they vary
// along another one. Nil stays nil.
func (a affine) channels(rank, axis, n int) (scale, shift []float64, ok bool) {
	if a.scale != nil {
		if scale = along(a.scale, rank, axis, n); scale == nil {
			return nil, nil, false
		}
	}
	if a.shift != nil {
		if shift = along(a.shift, rank, axis, n); shift == nil {
			return nil, nil, false
		}
	}
	return scale, shift, finite(scale, shift)
}

func (a affine) uniform() bool {
	return (a.scale == nil || a.scale.Len() == 1) && (a.shift == nil || a.shift.Len() == 1)
}

// intoBefore folds n into the linear node before it.
func intoBefore(e *rewrite.Editor, n *graph.Node) {
	a, ok := affineAt(n)
	if !ok {
		return
	}
	rank := e.Rank(n.Out(0))
	if rank < 0 || e.Rank(a.x) != rank {
		return
	}
	lin, at, why := behindMovement(e, a)
	if lin == nil {
		if a.x.Def() != nil && a.x.Def().Is("Conv", "ConvTranspose", "Gemm") {
			e.Kept(n, "%s", why)
		}
		return
	}
	scale, shift, ok := a.channels(rank, at, lin.channels)
	if a.uniform() {
		scale, shift, ok = a.channels(rank, 0, lin.channels)
	}
	if !ok {
		e.Kept(n, "the constant is not one value for each output channel")
		return
	}
	if shift != nil && !lin.takesShift() || !n.Out(0).CanReplace(a.x) || !e.Allow() {
		return
	}
	lin.scaleOut(scale, shift)
	absorb(e, n, a.x, lin)
}

// absorb ends a fold: x, which now has n's values, takes n's name.
func absorb(e *rewrite.Editor, n *graph.Node, x *graph.Value, lin *linear) {
	n.Out(0).Supersede(x)
	e.Changed(n, "folded into %s", lin.node.Title())
	e.KeepShapes(e.Shape)
	e.Drop(n)
}

// behindMovement is the linear node whose result reaches a.x through nodes that
// only move elements, each with one reader, and the axis at which its channels
// arrive.
func behindMovement(e *rewrite.Editor, a affine) (lin *linear, at int, why string) {
	var perms [][]int64
	x := a.x
	for {
		n := x.Def()
		switch {
		case n != nil && x.Only() != nil && n.Is("Transpose") && n.Ints("perm") != nil:
			perms = append(perms, n.Ints("perm"))
		case n != nil && x.Only() != nil && a.uniform() && n.Is("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"):
		default:
			lin, why = linearBefore(e, x)
			if lin == nil {
				return nil, 0, why
			}
			at = lin.at
			for _, p := range slices.Backward(perms) {
				at = slices.Index(p, int64(at))
			}
			return lin, at, ""
		}
		x = n.In(0)
	}
}

// intoBehind folds n into the linear node that alone reads it.
func intoBehind(e *rewrite.Editor, n *graph.Node, known rewrite.Rules) {
	a, ok := affineAt(n)
	to := n.Out(0).Only()
	if !ok || to == nil || to.In(0) != n.Out(0) || to.In(1) == n.Out(0) || e.Rank(a.x) < 0 || e.Rank(a.x) != e.Rank(n.Out(0)) {
		return
	}
	lin, _ := linearAt(e, to)
	if lin == nil || to.Is("Gemm") && to.Int("transA", 0) != 0 {
		return
	}
	rank := e.Rank(a.x)
	scale, shift, ok := a.channels(rank, lin.inputAxis(rank), lin.inputs())
	if size := e.Type(a.x).Shape[lin.inputAxis(rank)]; !a.uniform() && !n.Is("BatchNormalization") && !size.Is(int64(lin.inputs())) {
		return // a size of 1 would broadcast
	}
	if !ok || shift != nil && (!lin.takesShift() || !lin.unpadded()) || !n.Out(0).CanReplace(a.x) || whole(e, n, known) || !e.Allow() {
		return
	}
	lin.scaleIn(scale, shift)
	e.Replace(n, n.Out(0), a.x, "folded into %s", to.Title())
}

// whole reports that n ends a spelling that engines know.
func whole(e *rewrite.Editor, n *graph.Node, known rewrite.Rules) bool {
	name := known.Ends(e, n)
	if name != "" {
		e.Kept(n, "engines know the %s that it ends", name)
	}
	return name != ""
}

// joinConstants merges two Adds or Subs, or two Muls or Divs, by constants.
func joinConstants(e *rewrite.Editor, n *graph.Node, known rewrite.Rules) {
	b, ok := affineAt(n)
	if !ok || b.x.Def() == nil || b.x.Only() == nil {
		return
	}
	a, ok := affineAt(b.x.Def())
	if !ok || !b.x.Def().Is("Add", "Sub", "Mul", "Div") || (a.scale == nil) != (b.scale == nil) || whole(e, b.x.Def(), known) {
		return
	}
	elem := e.Type(a.x).Elem
	var v *graph.Value
	switch {
	case a.scale == nil && b.scale == nil:
		if t := combined(elem, a.shift, b.shift, func(p, q float64) float64 { return p + q }); t != nil && e.Allow() {
			v = e.Add(n, "Add", []*graph.Value{a.x, e.Const(n, t)})
		}
	case a.shift == nil && b.shift == nil:
		if t := combined(elem, a.scale, b.scale, func(p, q float64) float64 { return p * q }); t != nil && e.Allow() {
			v = e.Add(n, "Mul", []*graph.Value{a.x, e.Const(n, t)})
		}
	}
	if v != nil {
		e.Replace(n, n.Out(0), v, "merged with %s", b.x.Def().Title())
	}
}

// joinFactors makes MatMul(a*x, b*y) of single values a and b
// MatMul((a*b)*x, y): exporters scale queries and keys each by a root.
func joinFactors(e *rewrite.Editor, n *graph.Node) {
	var factors [2]affine
	for i := range factors {
		d := n.In(i).Def()
		if d == nil || n.In(i).Only() == nil || !d.Is("Mul", "Div") {
			return
		}
		var ok bool
		if factors[i], ok = affineAt(d); !ok || factors[i].scale.Len() != 1 || e.Rank(factors[i].x) != e.Rank(n.In(i)) {
			return
		}
	}
	elem := e.Type(n.Out(0)).Elem
	t := combined(elem, factors[0].scale, factors[1].scale, func(p, q float64) float64 { return p * q })
	if t == nil || elem.Bits() < 32 || !e.Allow() {
		return
	}
	x := e.Add(n, "Mul", []*graph.Value{factors[0].x, e.Const(n, t.Reshaped())})
	y := e.Add(n, "MatMul", []*graph.Value{x, factors[1].x})
	e.Replace(n, n.Out(0), y, "factors of both sides joined")
}

// combined is f of two constants, broadcast; nil if that is larger than both
// or not finite in the element type.
func combined(elem tensor.DType, a, b *tensor.Tensor, f func(p, q float64) float64) *tensor.Tensor {
	shape, err := tensor.Broadcast(a.Shape, b.Shape)
	if err != nil || !elem.IsFloat() {
		return nil
	}
	n, _ := tensor.Count(shape)
	if n > max(a.Len(), b.Len()) {
		return nil
	}
	av, bv, out := a.Floats(), b.Floats(), make([]float64, n)
	op.EachBroadcast(shape, [][]int{a.Shape, b.Shape}, func(o int, at []int) { out[o] = f(av[at[0]], bv[at[1]]) })
	t := tensor.FromFloats(elem, shape, out)
	for i, x := range t.Floats() {
		if math.IsInf(x, 0) || math.IsNaN(x) || x == 0 && out[i] != 0 {
			return nil
		}
	}
	return t
}

// matMulToGemm merges a MatMul of matrices with the Add of a constant row.
func matMulToGemm(e *rewrite.Editor, n *graph.Node) {
	x, k, _ := operand(n)
	if k == nil || x.Def() == nil || !x.Def().Is("MatMul") || x.Only() == nil || e.Rank(x) != 2 {
		return
	}
	mm, t := x.Def(), k.Const()
	w := mm.In(1).Const()
	if w == nil || w.Rank() != 2 || t.Rank() > 2 || t.Len() != w.Shape[1] || t.Rank() == 0 || t.Shape[t.Rank()-1] != w.Shape[1] ||
		w.Type != t.Type || w.Type != tensor.Float32 || !e.Allow() {
		return
	}
	y := e.Add(n, "Gemm", []*graph.Value{mm.In(0), mm.In(1), k})
	e.Replace(n, n.Out(0), y, "merged with %s into Gemm", mm.Title())
}

package clean

import (
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// States drops initial states of recurrent operators that are certainly zero,
// which is what absent ones are. Those of GRU stay, and are computed once:
// OpenCV 5 runs a GRU without one a single time.
var States = pass.Pass{
	Name:  "zero-states",
	Doc:   "drop initial states of RNN and LSTM that are zero, compute those of all GRUs once",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{
			{Ops: []string{"RNN", "LSTM"}, Apply: dropStates},
			{Ops: []string{"Slice"}, Apply: cutFill},
		})
		return nil
	},
}

func dropStates(e *rewrite.Editor, n *graph.Node) {
	for slot := 5; slot <= 6; slot++ {
		v := n.In(slot)
		if v == nil || !zero(e, v, 0) || !e.Allow() {
			continue
		}
		in := append([]*graph.Value(nil), n.Inputs()...)
		in[slot] = nil
		n.SetInputs(in...)
		e.Changed(n, "initial state %s is zero: dropped", v.Name)
		e.KeepShapes(e.Shape)
		if v.Def() != nil {
			e.Drop(v.Def())
		}
	}
}

// cutFill makes the Slices of a ConstantOfShape, if all are of one shape, that
// ConstantOfShape of their own shape: each layer's part of the states of all.
func cutFill(e *rewrite.Editor, n *graph.Node) {
	fill, to := n.In(0).Def(), e.Type(n.Out(0))
	if fill == nil || !fill.Is("ConstantOfShape") || !to.Ranked {
		return
	}
	sizes := rewrite.Alone(fill.In(0), "Concat")
	from, ok := e.Shape.Data(fill.In(0))
	if sizes == nil || !ok || len(from) != len(to.Shape) || slices.EqualFunc(from, to.Shape, dim.Dim.Equal) {
		return
	}
	for _, u := range n.In(0).Uses() {
		if u.Node == nil || !u.Node.Is("Slice") || !sameShape(e.Type(u.Node.Out(0)), to) {
			return
		}
	}
	parts := make([]*graph.Value, len(sizes.Inputs()))
	axis := 0
	for i, p := range sizes.Inputs() {
		length, ok := e.Type(p).Static()
		if !ok || len(length) != 1 || axis+length[0] > len(from) {
			return
		}
		own, cut := from[axis:axis+length[0]], to.Shape[axis:axis+length[0]]
		axis += length[0]
		if slices.EqualFunc(own, cut, dim.Dim.Equal) {
			parts[i] = p
			continue
		}
		constant := make([]int64, len(cut))
		for k, d := range cut {
			if constant[k], ok = d.Const(); !ok {
				return
			}
		}
		parts[i] = e.Ints(n, constant...)
	}
	if !e.Allow() {
		return
	}
	y := e.Add(n, "ConstantOfShape", []*graph.Value{e.Add(n, "Concat", parts, graph.Int("axis", 0))}, rewrite.CloneAttrs(fill.Attrs)...)
	e.Replace(n, n.Out(0), y, "made by %s itself", fill.Title())
}

// maxDepth bounds how far back zeros are looked for.
const maxDepth = 16

// zero reports that every element of v is 0 at any run.
func zero(e *rewrite.Editor, v *graph.Value, depth int) bool {
	if uniform(e, v, 0) {
		return true
	}
	n := v.Def()
	if n == nil || depth > maxDepth || e.Attrs(n) == nil {
		return false
	}
	switch {
	case n.Is("ConstantOfShape"):
		t := e.Attrs(n).TensorAttr("value")
		x, ok := rewrite.Uniform(t)
		return t == nil || ok && x == 0
	case n.Is("Concat"):
		for _, in := range n.Inputs() {
			if !zero(e, in, depth+1) {
				return false
			}
		}
		return true
	case n.Is("Slice", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Tile", "Cast", "Identity", "Gather", "Split"):
		return zero(e, n.In(0), depth+1)
	}
	return false
}

package clean

import (
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// States drops initial states of recurrent operators that are certainly zero,
// which is what absent ones are.
var States = pass.Pass{
	Name:  "zero-states",
	Doc:   "drop initial states of RNN, GRU and LSTM that are zero",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{{Ops: []string{"RNN", "GRU", "LSTM"}, Apply: dropStates}})
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

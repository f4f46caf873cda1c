package fold

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Reshapes replaces computed target shapes of Reshape by constants with 0 (the
// input's own size) and at most one -1, where that is exact for every size of
// the symbols. The computation then usually is dead code.
var Reshapes = pass.Pass{
	Name:  "reshape-targets",
	Doc:   "make computed Reshape targets constants with 0 and -1",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{{Ops: []string{"Reshape"}, Apply: reshapeTarget}})
		return nil
	},
}

func reshapeTarget(e *rewrite.Editor, n *graph.Node) {
	if n.In(1) == nil || n.In(1).Const() != nil || e.Opset() < 5 {
		return
	}
	in := e.Type(n.In(0))
	target, ok := rewrite.ReshapeTarget(e.Type(n.Out(0)).Shape, in)
	ok = ok && e.Type(n.Out(0)).Ranked
	if want, known := e.Shape.Data(n.In(1)); !ok && known {
		target, ok = constantTarget(want, in, n.Int("allowzero", 0) != 0)
	}
	if !ok {
		e.Kept(n, "its target has more than one size that varies: %v", e.Type(n.Out(0)))
		return
	}
	if !e.Allow() {
		return
	}
	n.RemoveAttr("allowzero")
	n.SetIn(1, e.Ints(n, target...))
	e.Changed(n, "target is the constant %v", target)
	e.KeepShapes(e.Shape)
}

// constantTarget is the target with symbolic sizes as 0, where the input has
// the same size at the same axis, or as the one -1.
func constantTarget(want []dim.Dim, in graph.Type, allowZero bool) ([]int64, bool) {
	out := make([]int64, len(want))
	inferred := false
	for i, d := range want {
		n, constant := d.Const()
		switch {
		case constant && n == -1:
			if inferred {
				return nil, false
			}
			inferred, out[i] = true, -1
		case constant && (n > 0 || !allowZero):
			out[i] = n
		case !allowZero && in.Ranked && i < len(in.Shape) && in.Shape[i].Equal(d):
			out[i] = 0
		case !inferred && d.Positive():
			inferred, out[i] = true, -1
		default:
			return nil, false
		}
	}
	// -1 is the whole rest: with a zero beside it there would be no answer.
	return out, true
}

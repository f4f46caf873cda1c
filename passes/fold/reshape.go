package fold

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Reshapes replaces computed target shapes of Reshape by constants with 0 (the
// input's own size) and at most one -1, where that is exact for every size of
// the symbols. The computation then usually is dead code.
var Reshapes = pass.Pass{
	Name: "reshape-targets",
	Doc:  "make computed Reshape targets constants with 0 and -1",
	Run: func(c *pass.Context, m *graph.Model) error {
		s := c.Shapes()
		for n := range m.Graph.All() {
			if !n.Is("Reshape") || n.In(1) == nil || n.In(1).Const() != nil || m.Opset("") < 5 {
				continue
			}
			want, ok := s.Data(n.In(1))
			if !ok {
				c.Kept(n, "its target is not known")
				continue
			}
			target, ok := constantTarget(want, s.Type(n.In(0)), n.Int("allowzero", 0) != 0)
			if !ok {
				c.Kept(n, "its target %v has more than one size that varies", want)
				continue
			}
			if !c.Allow() {
				return nil
			}
			n.SetIn(1, n.Graph().AddInitializer(n.In(1).Name, &graph.Data{Tensor: tensor.Vector(target...)}))
			c.Changed(n, "target is the constant %v", target)
		}
		c.KeepShapes(s)
		return nil
	},
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
		case constant:
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

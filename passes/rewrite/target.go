package rewrite

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
)

// ReshapeTarget is a constant target that reshapes values of type in to the
// shape want, for every size of its symbols: 0 where the input has the same
// size at the same axis, at most one -1. False if there is none.
func ReshapeTarget(want []dim.Dim, in graph.Type) ([]int64, bool) {
	out := make([]int64, len(want))
	inferred := false
	for i, d := range want {
		n, constant := d.Const()
		switch {
		case constant && n > 0:
			out[i] = n
		case !constant && in.Ranked && i < len(in.Shape) && in.Shape[i].Equal(d):
			out[i] = 0
		case !constant && !inferred && (d.Positive() || !d.Known()):
			inferred, out[i] = true, -1
		default:
			return nil, false
		}
	}
	return out, true
}

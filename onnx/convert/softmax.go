package convert

import (
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
)

// Before opset 13, Softmax, LogSoftmax and Hardmax worked on the matrix that
// Flatten at axis (default 1) makes; since then on the one axis (default -1).

// onlyAxis is the single axis at or behind axis whose size is not 1.
func onlyAxis(shape []dim.Dim, axis int) (int, bool) {
	at := -1
	for i := axis; i < len(shape); i++ {
		if !shape[i].Is(1) {
			if at >= 0 {
				return 0, false
			}
			at = i
		}
	}
	return max(at, axis), true
}

func softmaxUp(s *step, n *graph.Node) error {
	axis := s.int(n, "axis", 1)
	if shape, err := s.shape(n.In(0)); err == nil {
		from := positive([]int64{axis}, len(shape))[0]
		if at, ok := onlyAxis(shape, int(from)); ok && int(from) < len(shape) {
			n.SetAttr(graph.Int("axis", int64(at)))
			return nil
		}
	} else if axis == -1 {
		return nil
	}
	x := n.Inputs()[:1]
	flat := s.add(n, "Flatten", x, graph.Int("axis", axis))
	y := s.copyOf(n, []*graph.Value{flat}, graph.Int("axis", -1)).Out(0)
	return s.replace(n, s.add(n, "Reshape", []*graph.Value{y, s.add(n, "Shape", x)}))
}

func softmaxDown(s *step, n *graph.Node) error {
	shape, err := s.shape(n.In(0))
	if err != nil {
		return err
	}
	rank := len(shape)
	axis := positive([]int64{s.int(n, "axis", -1)}, rank)[0]
	if !slices.ContainsFunc(shape[axis+1:], func(d dim.Dim) bool { return !d.Is(1) }) {
		n.SetAttr(graph.Int("axis", axis))
		return nil
	}
	perm := make([]int64, rank) // exchanges axis and the last
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[axis], perm[rank-1] = int64(rank-1), axis
	x := s.add(n, "Transpose", n.Inputs()[:1], graph.Ints("perm", perm...))
	y := s.copyOf(n, []*graph.Value{x}, graph.Int("axis", int64(rank-1))).Out(0)
	return s.replace(n, s.add(n, "Transpose", []*graph.Value{y}, graph.Ints("perm", perm...)))
}

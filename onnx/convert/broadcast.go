package convert

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
)

// numpyUp: before opset 7, with broadcast set, the second input was aligned at
// axis of the first, or at its end; axes of size 1 behind it say that in numpy's
// way.
func numpyUp(s *step, n *graph.Node) error {
	broadcast, axis := s.int(n, "broadcast", 0), s.attr(n, "axis")
	n.RemoveAttr("broadcast")
	n.RemoveAttr("axis")
	if broadcast == 0 || axis == nil {
		return nil
	}
	a, err := s.rank(n.In(0))
	if err != nil {
		return err
	}
	b, err := s.rank(n.In(1))
	if err != nil {
		return err
	}
	at := positive([]int64{axis.I}, a)[0]
	var axes []int64
	for i := int64(b); i+at < int64(a); i++ {
		axes = append(axes, i)
	}
	if len(axes) > 0 {
		n.SetIn(1, s.add(n, "Unsqueeze", []*graph.Value{n.In(1)}, graph.Ints("axes", axes...)))
	}
	return nil
}

// numpyDown: the second input must be a run of the first one's axes.
func numpyDown(s *step, n *graph.Node) error {
	a, err := s.shape(n.In(0))
	if err != nil {
		return err
	}
	b, err := s.shape(n.In(1))
	if err != nil {
		return err
	}
	if slices.EqualFunc(a, b, dim.Dim.Equal) {
		return nil
	}
	first, last := 0, len(b) // b without its outer ones
	for first < last && b[first].Is(1) {
		first++
	}
	for last > first && b[last-1].Is(1) {
		last--
	}
	at := len(a) - len(b) + first
	fits := at >= 0 || first == last
	for i := first; fits && i < last; i++ {
		fits = a[at+i-first].Equal(b[i])
	}
	if len(b) > len(a) || !fits {
		if n.Is("Add", "Mul", "And", "Or", "Xor", "Equal") && len(b) >= len(a) && !slices.EqualFunc(a, b, dim.Dim.Equal) {
			return s.swapped(n, b, a)
		}
		return fmt.Errorf("inputs of shape %v and %v broadcast both ways", s.info.Type(n.In(0)), s.info.Type(n.In(1)))
	}
	if first > 0 || last < len(b) {
		var axes []int64
		for i := range b {
			if i < first || i >= last {
				axes = append(axes, int64(i))
			}
		}
		if first == last { // one element
			axes = axes[1:]
			at = len(a) - 1
		}
		if len(axes) > 0 {
			n.SetIn(1, s.add(n, "Squeeze", []*graph.Value{n.In(1)}, graph.Ints("axes", axes...)))
		}
	}
	n.SetAttr(graph.Int("broadcast", 1))
	if first < last {
		n.SetAttr(graph.Int("axis", int64(at)))
	}
	return nil
}

// swapped is numpyDown with the inputs of a commutative operator exchanged.
func (s *step) swapped(n *graph.Node, a, b []dim.Dim) error {
	for i, d := range b {
		if e := a[len(a)-len(b)+i]; !d.Is(1) && !d.Equal(e) {
			return fmt.Errorf("inputs of shape %v and %v broadcast both ways", s.info.Type(n.In(0)), s.info.Type(n.In(1)))
		}
	}
	x, y := n.In(0), n.In(1)
	n.SetIn(0, y)
	n.SetIn(1, x)
	return numpyDown(s, n)
}

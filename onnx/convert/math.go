package convert

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

const maxFloat32 = math.MaxFloat32

func renameAttr(from, to string) adapt {
	return func(s *step, n *graph.Node) error {
		if a := n.Attr(from); a != nil {
			a.Name = to
		}
		return nil
	}
}

func renameOp(op string) adapt {
	return func(s *step, n *graph.Node) error { n.Op = op; return nil }
}

func integerP(s *step, n *graph.Node) error {
	p := s.float(n, "p", 2)
	if p != float32(int64(p)) {
		return fmt.Errorf("p = %v", p)
	}
	n.SetAttr(graph.Int("p", int64(p)))
	return nil
}

func floatP(s *step, n *graph.Node) error {
	n.SetAttr(graph.Float("p", float32(s.int(n, "p", 2))))
	return nil
}

func castToNumber(s *step, n *graph.Node) error {
	name := s.str(n, "to", "")
	t, ok := tensor.ParseDType(strings.ToLower(name))
	if !ok {
		return fmt.Errorf("to = %q", name)
	}
	n.SetAttr(graph.Int("to", int64(t)))
	return nil
}

func castToName(s *step, n *graph.Node) error {
	n.SetAttr(graph.Str("to", strings.ToUpper(tensor.DType(s.int(n, "to", 0)).String())))
	return nil
}

// tileRepeats: repeats is 1 but for the axis.
func tileRepeats(s *step, n *graph.Node) error {
	rank, err := s.rank(n.In(0))
	if err != nil {
		return err
	}
	tiles, axis := s.value(n.In(1)), s.value(n.In(2))
	if tiles == nil || axis == nil || tiles.Len() != 1 || axis.Len() != 1 {
		return fmt.Errorf("tiles or axis is computed at run time")
	}
	repeats := slices.Repeat([]int64{1}, rank)
	at := int(axis.Floats()[0])
	if at < 0 || at >= rank {
		return fmt.Errorf("axis %d of rank %d", at, rank)
	}
	repeats[at] = int64(tiles.Floats()[0])
	s.drop(n, 2)
	s.drop(n, 1)
	n.SetIn(1, s.ints(n, "repeats", repeats...))
	return nil
}

func tileOneAxis(s *step, n *graph.Node) error {
	repeats, ok := s.constInts(n, 1)
	if !ok {
		return fmt.Errorf("repeats is computed at run time (%s)", n.In(1))
	}
	x := n.In(0)
	t := s.info.Type(x).Elem
	if !t.IsFloat() {
		return fmt.Errorf("input has type %v", t)
	}
	axes := []int{}
	for i, r := range repeats {
		if r != 1 {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 && len(repeats) > 0 {
		axes = []int{0}
	}
	for _, axis := range axes {
		x = s.add(n, "Tile", []*graph.Value{x, s.constant(n, "tiles", tensor.FromFloats(t, nil, []float64{float64(repeats[axis])})),
			s.constant(n, "axis", tensor.FromFloats(t, nil, []float64{float64(axis)}))})
	}
	if x == n.In(0) {
		return fmt.Errorf("input is a scalar")
	}
	return s.replace(n, x)
}

// slopeUp gives a slope of one value a channel the shape that broadcasts.
func slopeUp(s *step, n *graph.Node) error {
	slope, err := s.shape(n.In(1))
	if err != nil {
		return err
	}
	if len(slope) != 1 || slope[0].Is(1) {
		return nil
	}
	rank, err := s.rank(n.In(0))
	if err != nil || rank <= 2 {
		return err
	}
	var axes []int64
	for i := 1; i < rank-1; i++ {
		axes = append(axes, int64(i))
	}
	n.SetIn(1, s.add(n, "Unsqueeze", []*graph.Value{n.In(1)}, graph.Ints("axes", axes...)))
	return nil
}

func slopeDown(s *step, n *graph.Node) error {
	slope, ok := s.info.Type(n.In(1)).Static()
	rank, err := s.rank(n.In(0))
	if err != nil || !ok {
		return fmt.Errorf("the shape of the slope or the rank of the input is not known")
	}
	full := append(slices.Repeat([]int{1}, max(rank-len(slope), 0)), slope...)
	for i, d := range full {
		if i != 1 && d != 1 {
			return fmt.Errorf("slope of shape %v is not one value a channel", slope)
		}
	}
	if len(slope) == 1 && (slope[0] == 1 || rank == 2) {
		return nil
	}
	size := int64(1)
	if len(full) > 1 {
		size = int64(full[1])
	}
	n.SetIn(1, s.reshape(n, n.In(1), size))
	return nil
}

// reshape is v with a constant shape, in any opset.
func (s *step) reshape(n *graph.Node, v *graph.Value, shape ...int64) *graph.Value {
	if s.to < 5 {
		return s.add(n, "Reshape", []*graph.Value{v}, graph.Ints("shape", shape...))
	}
	return s.add(n, "Reshape", []*graph.Value{v, s.ints(n, "shape", shape...)})
}

func gemmBroadcast(s *step, n *graph.Node) error {
	n.SetAttr(graph.Int("broadcast", 1))
	return nil
}

// gemmZero adds C = 0.
func gemmZero(s *step, n *graph.Node) error {
	if n.In(2) != nil {
		return nil
	}
	t := s.info.Type(n.In(0)).Elem
	if !t.IsFloat() && !t.IsInt() {
		return fmt.Errorf("the element type of %s is not known", n.In(0))
	}
	n.SetIn(2, s.constant(n, "C", tensor.FromFloats(t, []int{1}, []float64{0})))
	return nil
}

// sameShapes declines inputs that would have to broadcast.
func sameShapes(s *step, n *graph.Node) error {
	for _, v := range n.Inputs() {
		a, err := s.shape(n.In(0))
		if err != nil {
			return err
		}
		b, err := s.shape(v)
		if err != nil {
			return err
		}
		if !slices.EqualFunc(a, b, dim.Dim.Equal) {
			return fmt.Errorf("inputs of shape %v and %v broadcast", s.info.Type(n.In(0)), s.info.Type(v))
		}
	}
	return nil
}

// topkDown: the smallest are the largest of the negatives, and unsorted
// results may be sorted.
func topkDown(s *step, n *graph.Node) error {
	largest := s.int(n, "largest", 1)
	n.RemoveAttr("largest")
	n.RemoveAttr("sorted")
	if err := fromFront("axis", 0)(s, n); err != nil || largest != 0 {
		return err
	}
	c := s.copyOf(n, append([]*graph.Value{s.add(n, "Neg", n.Inputs()[:1])}, n.Inputs()[1:]...))
	return s.replace(n, s.add(n, "Neg", c.Outputs()[:1]), c.Out(1))
}

// reduceDown: without axes, all are reduced, or with noop_with_empty_axes none.
func reduceDown(s *step, n *graph.Node) error {
	axes, ok := s.constInts(n, 1)
	if !ok {
		return fmt.Errorf("axes is computed at run time (%s)", n.In(1))
	}
	noop := s.int(n, "noop_with_empty_axes", 0) != 0
	n.RemoveAttr("noop_with_empty_axes")
	s.drop(n, 1)
	switch {
	case len(axes) > 0:
		n.SetAttr(graph.Ints("axes", axes...))
	case noop && n.Is("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"):
		return s.replace(n, s.add(n, "Identity", n.Inputs()[:1]))
	case noop:
		return fmt.Errorf("noop_with_empty_axes without axes")
	}
	return nil
}

// dftUp: axis was an attribute with the default 1.
func dftUp(s *step, n *graph.Node) error {
	axis := s.int(n, "axis", 1)
	n.RemoveAttr("axis")
	n.SetIn(2, s.constant(n, "axis", tensor.Scalar(axis)))
	return nil
}

func dftDown(s *step, n *graph.Node) error {
	axis, ok := s.constInts(n, 2)
	if !ok || len(axis) > 1 {
		return fmt.Errorf("axis is computed at run time (%s)", n.In(2))
	}
	if len(axis) == 0 {
		axis = []int64{-2}
	}
	rank, err := s.rank(n.In(0))
	if err != nil {
		return err
	}
	s.drop(n, 2)
	n.SetAttr(graph.Int("axis", positive(axis, rank)[0]))
	return nil
}

// equalDown: numbers are equal if neither is less, and none is NaN; small
// integers if they are so as int64.
func equalDown(s *step, n *graph.Node) error {
	a, b := n.In(0), n.In(1)
	switch t := s.info.Type(a).Elem; {
	case t == tensor.Bool || t == tensor.Int32 || t == tensor.Int64:
		return nil
	case t.IsInt() && t != tensor.Uint64:
		return s.replace(n, s.add(n, "Equal", values{s.cast(n, a, tensor.Int64), s.cast(n, b, tensor.Int64)}))
	case t != tensor.Float16 && t != tensor.Float32 && t != tensor.Float64:
		return fmt.Errorf("input %s has type %v", a, s.info.Type(a))
	}
	or := func(x, y *graph.Value) *graph.Value { return s.add(n, "Or", values{x, y}) }
	unequal := or(s.add(n, "Less", values{a, b}), s.add(n, "Greater", values{a, b}))
	nan := or(s.add(n, "IsNaN", values{a}), s.add(n, "IsNaN", values{b}))
	return s.replace(n, s.add(n, "Not", values{or(unequal, nan)}))
}

package clean

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Chains merges neighbouring nodes of one kind into one.
var Chains = pass.Pass{
	Name:  "merge-chains",
	Doc:   "merge neighbouring Transposes, Reshapes, Casts, Slices, Pads, Concats, Clips, and Gathers with Squeeze or Unsqueeze",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{
			{Ops: []string{"Transpose"}, Apply: mergeTransposes},
			{Ops: []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze"}, Apply: mergeReshapes},
			{Ops: []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze"}, Apply: mergeAroundTranspose},
			{Ops: []string{"Reshape", "Flatten", "Squeeze"}, Apply: dropReduced},
			{Ops: broadcasting, Apply: dropExpand},
			{Ops: []string{"Cast"}, Apply: mergeCasts},
			{Ops: []string{"Slice"}, Apply: mergeSlices},
			{Ops: []string{"Pad"}, Apply: mergePads},
			{Ops: []string{"Concat"}, Apply: gatherPieces},
			{Ops: []string{"Concat"}, Apply: spaceToDepth},
			{Ops: []string{"Conv"}, Apply: permuteWeights},
			{Ops: []string{"Concat"}, Apply: mergeConcats},
			{Ops: []string{"Relu", "Clip"}, Apply: mergeClips},
			{Ops: []string{"Squeeze"}, Apply: gatherScalar},
			{Ops: []string{"Unsqueeze"}, Apply: gatherVector},
		})
		return nil
	},
}

// permutation is the perm of a Transpose; false if the rank is unknown.
func permutation(e *rewrite.Editor, n *graph.Node) ([]int, bool) {
	if p := n.Ints("perm"); p != nil {
		out := make([]int, len(p))
		for i, k := range p {
			out[i] = int(k)
		}
		return out, true
	}
	rank := e.Rank(n.In(0))
	if rank < 0 {
		return nil, false
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = rank - 1 - i
	}
	return out, true
}

func int64s(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// Transpose(Transpose(x, p), q) = Transpose(x, p[q]). A Transpose that moves
// only axes of size 1 past others is a Reshape.
func mergeTransposes(e *rewrite.Editor, n *graph.Node) {
	q, ok := permutation(e, n)
	inner := n.In(0).Def()
	if !ok || inner == nil || !inner.Is("Transpose") {
		return
	}
	p, ok := permutation(e, inner)
	if !ok || len(p) != len(q) {
		return
	}
	perm := make([]int, len(q))
	for i, k := range q {
		perm[i] = p[k]
	}
	x := inner.In(0)
	if ascending(perm) {
		if n.Out(0).CanReplace(x) && e.Allow() {
			e.Replace(n, n.Out(0), x, "undoes %s", inner.Title())
		}
		return
	}
	if n.In(0).Only() != nil && e.Allow() {
		e.Replace(n, n.Out(0), e.Add(n, "Transpose", []*graph.Value{x}, graph.Ints("perm", int64s(perm)...)), "merged with %s", inner.Title())
	}
}

// mergeReshapes merges two nodes that only change the shape into one Reshape.
func mergeReshapes(e *rewrite.Editor, n *graph.Node) {
	inner := n.In(0).Def()
	if inner == nil || !inner.Is("Reshape", "Flatten", "Squeeze", "Unsqueeze") || e.Opset() < 5 {
		return
	}
	x, to := inner.In(0), e.Type(n.Out(0))
	if sameShape(e.Type(x), to) {
		if n.Out(0).CanReplace(x) && e.Allow() {
			e.Replace(n, n.Out(0), x, "undoes %s", inner.Title())
		}
		return
	}
	if n.In(0).Only() == nil || !to.Ranked {
		return
	}
	target, ok := rewrite.ReshapeTarget(to.Shape, e.Type(x))
	if !ok || !e.Allow() {
		return
	}
	y := e.Add(n, "Reshape", []*graph.Value{x, e.Ints(n, target...)})
	e.Replace(n, n.Out(0), y, "merged with %s", inner.Title())
}

// Cast(Cast(x, a), b) = Cast(x, b) when a holds every value of x.
func mergeCasts(e *rewrite.Editor, n *graph.Node) {
	inner := n.In(0).Def()
	if inner == nil || !inner.Is("Cast") {
		return
	}
	x := inner.In(0)
	from, mid, to := e.Type(x).Elem, e.Type(n.In(0)).Elem, e.Type(n.Out(0)).Elem
	if from == 0 || to == 0 || !holds(mid, from) {
		return
	}
	if from == to {
		if n.Out(0).CanReplace(x) && e.Allow() {
			e.Replace(n, n.Out(0), x, "undoes %s", inner.Title())
		}
		return
	}
	if n.In(0).Only() != nil && e.Allow() {
		e.Replace(n, n.Out(0), e.Add(n, "Cast", []*graph.Value{x}, graph.Int("to", int64(to))), "merged with %s", inner.Title())
	}
}

// holds reports that every value of from is one of to, exactly.
func holds(to, from tensor.DType) bool {
	if to == from || from == tensor.Bool {
		return to.IsFloat() && to.Bits() >= 16 || to.IsInt() || to == from
	}
	mantissa := map[tensor.DType]int{tensor.Float16: 11, tensor.BFloat16: 8, tensor.Float32: 24, tensor.Float64: 53}
	switch {
	case from.IsInt() && to.IsInt():
		flo, fhi := from.IntRange()
		tlo, thi := to.IntRange()
		return from.Bits() < 64 && to.Bits() <= 64 && tlo <= flo && fhi <= thi && to != tensor.Uint64
	case from.IsInt() && to.IsFloat():
		return mantissa[to] > 0 && from.Bits() < mantissa[to] && to != tensor.Float16
	case from == tensor.Float16 || from == tensor.BFloat16:
		return to == tensor.Float32 || to == tensor.Float64
	}
	return from == tensor.Float32 && to == tensor.Float64
}

// slicing is a Slice with constant bounds, sorted by nothing.
type slicing struct{ starts, ends, axes, steps []int64 }

func sliceOf(e *rewrite.Editor, n *graph.Node) (slicing, bool) {
	var s slicing
	a := e.Attrs(n)
	if a == nil || a.Since < 10 || n.In(2) == nil {
		return s, false
	}
	for i, to := range []*[]int64{&s.starts, &s.ends, &s.axes, &s.steps} {
		v := n.In(i + 1)
		if v == nil {
			continue
		}
		t := e.Shape.Const(v)
		if t == nil {
			return s, false
		}
		*to = t.Ints()
	}
	rank := e.Rank(n.In(0))
	if s.axes == nil {
		for i := range s.starts {
			s.axes = append(s.axes, int64(i))
		}
	}
	for i, x := range s.axes {
		if x < 0 && rank < 0 {
			return s, false
		}
		if x < 0 {
			s.axes[i] = x + int64(rank)
		}
	}
	if s.steps == nil {
		s.steps = slices.Repeat([]int64{1}, len(s.starts))
	}
	return s, len(s.ends) == len(s.starts) && len(s.axes) == len(s.starts) && len(s.steps) == len(s.starts)
}

// mergeSlices merges two Slices of different axes.
func mergeSlices(e *rewrite.Editor, n *graph.Node) {
	inner := rewrite.Alone(n.In(0), "Slice")
	if inner == nil {
		return
	}
	a, ok := sliceOf(e, inner)
	b, ok2 := sliceOf(e, n)
	if !ok || !ok2 {
		return
	}
	for _, x := range b.axes {
		if slices.Contains(a.axes, x) {
			return
		}
	}
	if !e.Allow() {
		return
	}
	join := func(p, q []int64) *graph.Value { return e.Ints(n, slices.Concat(p, q)...) }
	y := e.Add(n, "Slice", []*graph.Value{inner.In(0), join(a.starts, b.starts), join(a.ends, b.ends), join(a.axes, b.axes), join(a.steps, b.steps)})
	e.Replace(n, n.Out(0), y, "merged with %s", inner.Title())
}

// mergeConcats joins a Concat into the Concat of the same axis that alone
// reads it, and undoes a Split that is put together again.
func mergeConcats(e *rewrite.Editor, n *graph.Node) {
	if x := splitAgain(e, n); x != nil {
		if n.Out(0).CanReplace(x) && e.Allow() {
			e.Replace(n, n.Out(0), x, "puts together what a Split took apart")
		}
		return
	}
	rank := e.Rank(n.Out(0))
	axis := func(m *graph.Node) int64 {
		k := m.Int("axis", 1)
		if k < 0 {
			k += int64(rank)
		}
		return k
	}
	var in []*graph.Value
	for _, v := range n.Inputs() {
		if m := rewrite.Alone(v, "Concat"); m != nil && rank > 0 && axis(m) == axis(n) {
			in = append(in, m.Inputs()...)
		} else {
			in = append(in, v)
		}
	}
	if len(in) == len(n.Inputs()) || !e.Allow() {
		return
	}
	e.Replace(n, n.Out(0), e.Add(n, "Concat", in, graph.Int("axis", axis(n))), "merged with the Concat before it")
}

func splitAgain(e *rewrite.Editor, n *graph.Node) *graph.Value {
	s := n.In(0).Def()
	if s == nil || !s.Is("Split") || len(s.Outputs()) != len(n.Inputs()) || !sameShape(e.Type(s.In(0)), e.Type(n.Out(0))) {
		return nil
	}
	for i, v := range n.Inputs() {
		if v != s.Out(i) {
			return nil
		}
	}
	a, b, rank := s.Int("axis", 0), n.Int("axis", 1), int64(e.Rank(s.In(0)))
	if (a+rank)%rank != (b+rank)%rank {
		return nil
	}
	return s.In(0)
}

// gatherScalar makes Squeeze(Gather(x, [i], a), a) and
// Squeeze(Slice(x, i, i+1, a), a) one Gather of a scalar index.
func gatherScalar(e *rewrite.Editor, n *graph.Node) {
	inner := rewrite.Alone(n.In(0), "Gather", "Slice")
	if inner == nil || e.Rank(n.In(0)) < 1 {
		return
	}
	axes, ok := e.Axes(n, 1, e.Rank(n.In(0)))
	if !ok || len(axes) != 1 {
		return
	}
	at, ok := pickedIndex(e, inner, axes[0])
	if !ok || !e.Allow() {
		return
	}
	y := e.Add(n, "Gather", []*graph.Value{inner.In(0), e.Const(n, tensor.Scalar(at))}, graph.Int("axis", int64(axes[0])))
	e.Replace(n, n.Out(0), y, "merged with %s", inner.Title())
}

// pickedIndex is the one constant index that n takes along axis.
func pickedIndex(e *rewrite.Editor, n *graph.Node, axis int) (int64, bool) {
	if n.Is("Gather") {
		t, rank := e.Shape.Const(n.In(1)), e.Rank(n.In(0))
		if t == nil || t.Rank() != 1 || t.Len() != 1 || rank < 0 || (n.Int("axis", 0)+int64(rank))%int64(rank) != int64(axis) {
			return 0, false
		}
		return t.Ints()[0], true
	}
	s, ok := sliceOf(e, n)
	if !ok || len(s.axes) != 1 || s.axes[0] != int64(axis) || s.steps[0] != 1 || s.starts[0] < 0 && s.starts[0] != -1 {
		return 0, false
	}
	// Of a shorter axis the Slice would be empty; its Squeeze fails like Gather.
	return s.starts[0], s.ends[0] == s.starts[0]+1 && s.starts[0] >= 0 || s.starts[0] == -1 && s.ends[0] > 1<<31-2
}

// gatherVector makes Unsqueeze(Gather(x, i, a), a) of a scalar i one Gather of [i].
func gatherVector(e *rewrite.Editor, n *graph.Node) {
	inner := rewrite.Alone(n.In(0), "Gather")
	if inner == nil {
		return
	}
	t, rank := e.Shape.Const(inner.In(1)), e.Rank(inner.In(0))
	if t == nil || t.Rank() != 0 || rank < 1 {
		return
	}
	axes, ok := e.Axes(n, 1, rank)
	axis := (int(inner.Int("axis", 0)) + rank) % rank
	if !ok || len(axes) != 1 || axes[0] != axis || !e.Allow() {
		return
	}
	y := e.Add(n, "Gather", []*graph.Value{inner.In(0), e.Const(n, t.Reshaped(1))}, graph.Int("axis", int64(axis)))
	e.Replace(n, n.Out(0), y, "merged with %s", inner.Title())
}

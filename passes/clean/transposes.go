package clean

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Transposes moves whole regions of layout-agnostic operators to the other
// side of the Transposes around them where that leaves fewer Transposes.
//
// A region is what element-wise and axis-wise operators connect. Its values
// are Y = Transpose(X, P); computing the X instead makes the Transposes by P
// that lead in, and those by the inverse that lead out, superfluous; any other
// edge across its border needs a new one.
var Transposes = pass.Pass{
	Name:  "move-transposes",
	Doc:   "move Transposes through element-wise and axis-wise operators where they meet and cancel",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		done := map[*graph.Node]bool{}
		rewrite.Run(c, m, []rewrite.Local{{Ops: []string{"Transpose"}, Apply: func(e *rewrite.Editor, n *graph.Node) {
			if !done[n] {
				moveRegion(e, n, done)
			}
		}}})
		return nil
	},
}

// maxRegion bounds the nodes of a region.
const maxRegion = 256

type region struct {
	e     *rewrite.Editor
	graph *graph.Graph
	perm  []int
	inv   []int
	nodes map[*graph.Node]bool
	order []*graph.Node
	ok    bool
}

func moveRegion(e *rewrite.Editor, t *graph.Node, done map[*graph.Node]bool) {
	perm, ok := permutation(e, t)
	if !ok || ascending(perm) {
		return
	}
	r := &region{e: e, graph: t.Graph(), perm: perm, inv: inverse(perm), nodes: map[*graph.Node]bool{}, ok: true}
	r.readers(t.Out(0))
	if len(r.nodes) == 0 || !r.ok {
		return
	}
	for _, n := range r.order {
		for _, v := range n.Inputs() {
			if v != nil && r.isEntry(v) {
				done[v.Def()] = true // it sees the same region
			}
		}
	}
	if r.gain() <= 0 || !e.Allow() {
		return
	}
	r.move(t)
}

func inverse(perm []int) []int {
	inv := make([]int, len(perm))
	for i, p := range perm {
		inv[p] = i
	}
	return inv
}

// readers adds the agnostic nodes that read v.
func (r *region) readers(v *graph.Value) {
	for _, u := range v.Uses() {
		if u.Node != nil {
			r.add(u.Node)
		}
	}
}

// add takes n, and what it is connected with, into the region if it may.
func (r *region) add(n *graph.Node) {
	if r.nodes[n] || !r.ok || !r.agnostic(n) {
		return
	}
	if len(r.nodes) >= maxRegion {
		r.ok = false
		return
	}
	r.nodes[n] = true
	r.order = append(r.order, n)
	for _, v := range n.Outputs() {
		if v != nil {
			r.readers(v)
		}
	}
	for _, v := range r.dataInputs(n) {
		if v.Def() != nil && v.Const() == nil && r.e.Rank(v) == len(r.perm) {
			r.add(v.Def())
		}
	}
}

// dataInputs is the inputs of n that have the layout.
func (r *region) dataInputs(n *graph.Node) []*graph.Value {
	in := n.Inputs()
	switch {
	case n.Is("Clip", "Slice", "Pad", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "Split", "Dropout"):
		in = in[:1]
	}
	var out []*graph.Value
	for _, v := range in {
		if v != nil {
			out = append(out, v)
		}
	}
	return out
}

// agnostic reports that n can work in another order of axes.
func (r *region) agnostic(n *graph.Node) bool {
	a := r.e.Attrs(n)
	if a == nil || n.Graph() != r.graph || graph.CanonicalDomain(n.Domain) != "" || a.Since < 7 && !n.Is("Relu", "Sigmoid", "Tanh", "Exp", "Concat") {
		return false
	}
	for _, v := range n.Outputs() {
		if v != nil && r.e.Rank(v) != len(r.perm) {
			return false
		}
	}
	d := op.Find("", n.Op)
	switch {
	case n.Is("Concat"), n.Is("Softmax", "LogSoftmax") && a.Since >= 13, n.Is("Clip", "Cast", "Identity"):
	case n.Is("Split"):
		return len(n.Inputs()) == 1 || n.In(1).Const() != nil
	case n.Is("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"):
		axes, ok := r.e.Axes(n, 1, len(r.perm))
		return ok && len(axes) > 0 && n.Int("keepdims", 1) == 1
	case n.Is("Slice"):
		_, ok := sliceOf(r.e, n)
		return ok
	case n.Is("Pad"):
		return a.Since >= 11 && n.In(3) == nil && r.e.Shape.Const(n.In(1)) != nil
	case d.Flags&op.Elementwise == 0:
		return false
	}
	for _, v := range r.dataInputs(n) {
		t := r.e.Type(v)
		if !t.Ranked || len(t.Shape) > len(r.perm) || v.Const() == nil && len(t.Shape) != len(r.perm) && len(t.Shape) != 0 {
			return false
		}
	}
	return true
}

// isEntry reports the result of a Transpose by the region's permutation.
func (r *region) isEntry(v *graph.Value) bool {
	if v.Def() == nil || !v.Def().Is("Transpose") {
		return false
	}
	p, ok := permutation(r.e, v.Def())
	return ok && slices.Equal(p, r.perm)
}

// border is the values that cross the region's border, each once.
func (r *region) border() (in, out []*graph.Value) {
	seen := map[*graph.Value]bool{}
	for _, n := range r.order {
		for _, v := range r.dataInputs(n) {
			if !seen[v] && v.Const() == nil && r.e.Rank(v) == len(r.perm) && !r.nodes[v.Def()] {
				seen[v] = true
				in = append(in, v)
			}
		}
		for _, v := range n.Outputs() {
			if v != nil && slices.ContainsFunc(v.Uses(), func(u graph.Use) bool { return u.Node == nil || !r.nodes[u.Node] }) {
				out = append(out, v)
			}
		}
	}
	return in, out
}

// gain is how many Transposes the move saves.
func (r *region) gain() int {
	in, out := r.border()
	gain := 0
	for _, v := range in {
		switch {
		case !r.isEntry(v):
			gain--
		case !slices.ContainsFunc(v.Uses(), func(u graph.Use) bool { return u.Node == nil || !r.nodes[u.Node] }):
			gain++
		}
	}
	for _, v := range out {
		rest := false
		for _, u := range v.Uses() {
			switch {
			case u.Node != nil && r.nodes[u.Node]:
			case u.Node != nil && u.Node.Is("Transpose"):
				if p, ok := permutation(r.e, u.Node); ok && slices.Equal(p, r.inv) {
					gain++
				}
			default:
				rest = true
			}
		}
		if rest {
			gain--
		}
	}
	return gain
}

// move rebuilds the region in the other layout.
func (r *region) move(t *graph.Node) {
	_, out := r.border()
	inner := map[*graph.Value]*graph.Value{} // Y to X
	var sorted []*graph.Node
	for n := range t.Graph().Nodes() {
		if r.nodes[n] {
			sorted = append(sorted, n)
		}
	}
	for _, n := range sorted {
		r.rebuild(n, inner)
	}
	for _, v := range out {
		r.leave(v, inner[v])
	}
	r.e.Changed(t, "%d operators moved to its other side", len(sorted))
	r.e.KeepShapes(r.e.Shape)
	for _, n := range slices.Backward(sorted) {
		r.e.Drop(n)
	}
}

// rebuild makes the node that computes X where n computes Y.
func (r *region) rebuild(n *graph.Node, inner map[*graph.Value]*graph.Value) {
	g := n.Graph()
	in := slices.Clone(n.Inputs())
	for i, v := range r.dataInputs(n) {
		in[i] = r.inside(n, v, inner)
	}
	var attrs []*graph.Attr
	for _, a := range n.Attrs {
		b := a.Clone()
		switch {
		case a.Name == "axis" && n.Is("Concat", "Softmax", "LogSoftmax", "Split"):
			b.I = r.axis(a.I)
		case a.Name == "axes":
			for k, x := range a.Ints {
				b.Ints[k] = r.axis(x)
			}
		}
		attrs = append(attrs, b)
	}
	switch {
	case n.Is("Softmax", "LogSoftmax") && n.Attr("axis") == nil:
		attrs = append(attrs, graph.Int("axis", r.axis(-1)))
	case n.Is("Split") && n.Attr("axis") == nil:
		attrs = append(attrs, graph.Int("axis", r.axis(0)))
	case n.Is("Slice"):
		s, _ := sliceOf(r.e, n)
		for k, x := range s.axes {
			s.axes[k] = r.axis(x)
		}
		for len(in) < 4 {
			in = append(in, nil)
		}
		in[3] = r.e.Ints(n, s.axes...)
	case n.Is("Pad"):
		pads := r.e.Shape.Const(n.In(1)).Ints()
		moved := make([]int64, len(pads))
		for i, p := range r.perm {
			moved[p], moved[p+len(r.perm)] = pads[i], pads[i+len(r.perm)]
		}
		in[1] = r.e.Ints(n, moved...)
	case n.In(1) != nil && n.Is("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"):
		axes, _ := r.e.Axes(n, 1, len(r.perm))
		for k, x := range axes {
			axes[k] = int(r.axis(int64(x)))
		}
		in[1] = r.e.Ints(n, int64s(axes)...)
	}
	names := make([]string, len(n.Outputs()))
	for i, v := range n.Outputs() {
		if v != nil {
			names[i] = g.Fresh(v.Name)
		}
	}
	k := g.NewNode(n.Op, in, names, attrs...)
	if n.Name != "" {
		k.Name = g.Fresh(n.Name)
	}
	g.InsertBefore(n, k)
	r.e.Shape.Update(k)
	for i, v := range n.Outputs() {
		if v != nil {
			inner[v] = k.Out(i)
		}
	}
}

// axis maps an axis of Y to X.
func (r *region) axis(k int64) int64 {
	if k < 0 {
		k += int64(len(r.perm))
	}
	return int64(r.perm[k])
}

// inside is the X of an input v of n.
func (r *region) inside(n *graph.Node, v *graph.Value, inner map[*graph.Value]*graph.Value) *graph.Value {
	if x := inner[v]; x != nil {
		return x
	}
	switch t := v.Const(); {
	case t != nil && t.Len() == 1 && t.Rank() <= len(r.perm):
		return v
	case t != nil:
		shape := append(slices.Repeat([]int{1}, len(r.perm)-t.Rank()), t.Shape...)
		inner[v] = r.e.Const(n, transposed(t.Reshaped(shape...), r.inv))
	case r.e.Rank(v) == 0:
		return v
	case r.isEntry(v):
		inner[v] = v.Def().In(0)
	default:
		inner[v] = r.e.Add(n, "Transpose", []*graph.Value{v}, graph.Ints("perm", int64s(r.inv)...))
	}
	return inner[v]
}

// transposed is t with axis i taken from axis perm[i].
func transposed(t *tensor.Tensor, perm []int) *tensor.Tensor {
	shape, strides := make([]int, len(perm)), tensor.Strides(t.Shape)
	for i, p := range perm {
		shape[i] = t.Shape[p]
	}
	own := tensor.Strides(shape)
	out, err := tensor.Gather(t, shape, op.DefaultMaxBytes, func(i int) int {
		at := 0
		for k, p := range perm {
			at += i / own[k] % shape[k] * strides[p]
		}
		return at
	})
	if err != nil {
		panic(err) // it is as large as t
	}
	return out
}

// leave makes what reads v outside the region read Transpose(x, P), or x where
// it was transposed back.
func (r *region) leave(v, x *graph.Value) {
	for _, u := range slices.Clone(v.Uses()) {
		if u.Node == nil || r.nodes[u.Node] || !u.Node.Is("Transpose") {
			continue
		}
		if p, ok := permutation(r.e, u.Node); ok && slices.Equal(p, r.inv) && u.Node.Out(0).ReplaceAll(x) {
			r.e.Drop(u.Node)
		}
	}
	outside := func(u graph.Use) bool { return u.Node == nil || !r.nodes[u.Node] }
	if !slices.ContainsFunc(v.Uses(), outside) {
		return
	}
	y := r.e.Add(v.Def(), "Transpose", []*graph.Value{x}, graph.Ints("perm", int64s(r.perm)...))
	v.Supersede(y)
}

package clean

import (
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Identity removes nodes that hand an input on unchanged.
var Identity = pass.Pass{
	Name:  "identity",
	Doc:   "remove nodes that change nothing: Identity, inference Dropout, Cast, Transpose, Reshape, Pad, Slice, x*1, x+0, ... without effect",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{{Ops: idle, Apply: runIdentity}})
		return nil
	},
}

// idle is the operators that can be without effect.
var idle = []string{"Identity", "Dropout", "Cast", "CastLike", "Concat", "Sum", "Max", "Min", "Mean", "Transpose", "Reshape", "Flatten",
	"Squeeze", "Unsqueeze", "Expand", "Tile", "Slice", "Pad", "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Where", "Relu", "Clip", "Abs",
	"Resize", "Upsample", "Split", "DepthToSpace", "SpaceToDepth", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool",
	"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"}

func runIdentity(e *rewrite.Editor, n *graph.Node) {
	in, why := unchanged(e, n)
	if in == nil {
		return
	}
	out := n.Out(0)
	switch {
	case !out.CanReplace(in):
		e.Kept(n, "%s, but it names the graph output %s", why, out.Name)
	case othersRead(n):
		e.Kept(n, "%s, but its other outputs are read", why)
	case e.Allow():
		e.Replace(n, out, in, "removed: %s", why)
	}
}

func othersRead(n *graph.Node) bool {
	for _, v := range n.Outputs()[1:] {
		if v != nil && len(v.Uses()) > 0 {
			return true
		}
	}
	return false
}

// unchanged is the input of n that output 0 certainly equals, and why.
func unchanged(e *rewrite.Editor, n *graph.Node) (*graph.Value, string) {
	x := n.In(0)
	a := e.Attrs(n)
	if a == nil || x == nil || n.Out(0) == nil {
		return nil, ""
	}
	in, out := e.Type(x), e.Type(n.Out(0))
	same := sameShape(in, out)
	switch n.Op {
	case "Identity":
		return x, "identity"
	case "Dropout":
		if a.Since >= 12 && n.In(2) != nil && !uniform(e, n.In(2), 0) || a.Since < 7 && a.Int("is_test") == 0 {
			return nil, ""
		}
		return x, "dropout does nothing in inference"
	case "Cast", "CastLike":
		if in.Elem != 0 && in.Elem == out.Elem && in.Kind == graph.TensorKind {
			return x, "cast to the type it has"
		}
	case "Concat", "Sum", "Max", "Min", "Mean":
		if len(n.Inputs()) == 1 {
			return x, "single input"
		}
	case "Transpose":
		if perm := a.Ints("perm"); perm != nil && ascending(perm) {
			return x, "permutation is the identity"
		}
	case "Pad": // one of -1 and 1 keeps the shape, and moves the elements
		if pads, ok := padWidths(e, n); ok && !slices.ContainsFunc(pads, func(n int64) bool { return n != 0 }) {
			return x, "pads nothing"
		}
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile", "Slice":
		if same && (n.Op != "Slice" || forwardSlice(e, n, a.Since)) {
			return x, "result has the input's shape " + in.String()
		}
	case "Split":
		if same && len(n.Outputs()) == 1 {
			return x, "one part"
		}
	case "DepthToSpace", "SpaceToDepth":
		if a.Int("blocksize") == 1 {
			return x, "blocks of one"
		}
	case "Relu", "Abs":
		if d := x.Def(); d != nil && d.Is("Relu", "Sigmoid", "Abs", "Exp", "Softmax", "Sqrt", "HardSigmoid", "Softplus") {
			return x, "the result of " + d.Op + " is not negative"
		}
	case "Clip":
		if a.Since >= 11 && n.In(1) == nil && n.In(2) == nil {
			return x, "no limits"
		}
	default:
		return unchangedShape(e, n, a, same)
	}
	return nil, ""
}

// unchangedShape handles operators that may broadcast, pool or resize.
func unchangedShape(e *rewrite.Editor, n *graph.Node, a *op.Attrs, same bool) (*graph.Value, string) {
	x, y := n.In(0), n.In(1)
	switch n.Op {
	case "Add", "Sub", "Or":
		if same && uniform(e, y, 0) {
			return x, n.Op + " of 0"
		}
		if n.Op != "Sub" && uniform(e, x, 0) && sameShape(e.Type(y), e.Type(n.Out(0))) {
			return y, n.Op + " of 0"
		}
	case "Mul", "Div", "Pow", "And":
		if same && uniform(e, y, 1) {
			return x, n.Op + " by 1"
		}
		if n.Is("Mul", "And") && uniform(e, x, 1) && sameShape(e.Type(y), e.Type(n.Out(0))) {
			return y, n.Op + " by 1"
		}
	case "Where":
		for i, want := range []float64{1, 0} {
			if v := n.In(i + 1); uniform(e, x, want) && sameShape(e.Type(v), e.Type(n.Out(0))) {
				return v, "condition is constant"
			}
		}
		if v := n.In(1); v == n.In(2) && sameShape(e.Type(v), e.Type(n.Out(0))) {
			return v, "both branches are the same"
		}
	case "Resize", "Upsample":
		// Scales of exactly 1 read every pixel at its own place.
		if scales := e.Shape.Const(n.In(len(n.Inputs()) - 1)); same && n.Is("Upsample") || same && n.In(3) != nil && fullSize(e, n) || same && allOnes(scales) && n.In(3) == nil {
			return x, "resized to the same size"
		}
	case "AveragePool", "MaxPool":
		if same && allOne(a.Ints("kernel_shape")) && allOne(a.Ints("strides")) && !n.Is("MaxPool") || same && n.Is("MaxPool") && allOne(a.Ints("kernel_shape")) && len(n.Outputs()) == 1 {
			return x, "window of one"
		}
	case "GlobalAveragePool", "GlobalMaxPool", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd":
		if same && (n.Is("GlobalAveragePool", "GlobalMaxPool") && spatialOnes(e, x) || n.Attr("axes") != nil || n.In(1) != nil) && reducedOnes(e, n) {
			return x, "reduces axes of one"
		}
	}
	return nil, ""
}

// fullSize reports a Resize to constant sizes of a constant shape: with equal
// shapes its scales are exactly 1.
func fullSize(e *rewrite.Editor, n *graph.Node) bool {
	_, ok := e.Type(n.In(0)).Static()
	return ok && n.Str("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
}

func spatialOnes(e *rewrite.Editor, x *graph.Value) bool {
	t := e.Type(x)
	for i, d := range t.Shape {
		if i >= 2 && !d.Is(1) {
			return false
		}
	}
	return t.Ranked
}

// reducedOnes reports that every reduced axis certainly has size 1.
func reducedOnes(e *rewrite.Editor, n *graph.Node) bool {
	if n.Is("GlobalAveragePool", "GlobalMaxPool") {
		return true
	}
	t := e.Type(n.In(0))
	axes, ok := e.Axes(n, 1, len(t.Shape))
	for _, i := range axes {
		ok = ok && t.Shape[i].Is(1)
	}
	return ok && t.Ranked && len(axes) > 0
}

// uniform reports a constant all of whose elements are want.
func uniform(e *rewrite.Editor, v *graph.Value, want float64) bool {
	if v == nil {
		return false
	}
	x, ok := rewrite.Uniform(e.Shape.Const(v))
	return ok && x == want
}

func allOnes(t *tensor.Tensor) bool {
	x, ok := rewrite.Uniform(t)
	return ok && x == 1
}

func allOne(list []int) bool {
	for _, k := range list {
		if k != 1 {
			return false
		}
	}
	return true
}

func ascending(perm []int) bool {
	for i, p := range perm {
		if p != i {
			return false
		}
	}
	return true
}

// sameShape reports that both are certainly of one shape.
func sameShape(a, b graph.Type) bool {
	if !a.Ranked || !b.Ranked || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i, d := range a.Shape {
		if !dim.Dim.Equal(d, b.Shape[i]) {
			return false
		}
	}
	return true
}

// forwardSlice reports that no axis is reversed: then a slice of full size is
// the input itself.
func forwardSlice(e *rewrite.Editor, n *graph.Node, since int64) bool {
	if since < 10 || n.In(4) == nil {
		return true
	}
	return allOnes(e.Shape.Const(n.In(4)))
}

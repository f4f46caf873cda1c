package quant

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Prepare brings layers into the one form that quantization handles: weights
// are initializers, Gemm is Y = A*B + C with one C for each output channel.
var Prepare = pass.Pass{
	Name:   "prepare-quantization",
	Doc:    "make weights initializers (behind Transpose, Reshape, Cast, ...) and Gemm plain: no alpha, beta, transA, no C of another shape",
	Effect: pass.Close,
	Run:    prepare,
}

func prepare(c *pass.Context, m *graph.Model) error {
	for n := range m.Graph.All() {
		r, err := op.Resolve(n, m.Opset)
		if err != nil || r.Quant.Kind != op.QuantInteger {
			continue
		}
		for i := range n.Inputs() {
			if n.Graph() == m.Graph && !materialize(c, m, n, i) {
				return nil
			}
		}
		if n.Is("Gemm") && n.Graph() == m.Graph && !plainGemm(c, n) {
			return nil
		}
	}
	return nil
}

// Freeze makes the default value of graph inputs final: exporters of old list
// every weight as an input, which nothing could then fold or quantize.
var Freeze = pass.Pass{
	Name: "freeze-defaults",
	Doc:  "make graph inputs with a default value constants that callers can no longer override",
	Run: func(c *pass.Context, m *graph.Model) error {
		for _, v := range slices.Clone(m.Graph.Inputs()) {
			if v.Data == nil {
				continue
			}
			if !c.Allow() {
				return nil
			}
			m.Graph.RemoveInput(v)
			m.IRVersion = max(m.IRVersion, 4) // before, initializers had to be inputs
			c.ChangedValue(v, "no longer an input: its default is a constant now")
		}
		return nil
	},
}

// chain is the operators behind which a weight may stand.
var chain = []string{"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast"}

// materialize computes the constant behind input i of n; false when no more
// rewrites are allowed. The float form is dead once it is quantized.
func materialize(c *pass.Context, m *graph.Model, n *graph.Node, i int) bool {
	v := n.In(i)
	if v == nil || v.Def() == nil || !v.Def().Is(chain...) {
		return true
	}
	t := constantOf(m, v, 8)
	if t == nil || t.Type != tensor.Float32 {
		return true
	}
	if !c.Allow() {
		return false
	}
	w := n.Graph().AddInitializer(v.Name, &graph.Data{Tensor: t})
	for _, u := range slices.Clone(v.Uses()) {
		if u.Node != nil && u.Node.Graph() == n.Graph() {
			u.Node.SetIn(u.Index, w)
		}
	}
	c.Changed(n, "input %d is the constant behind %s", i, v.Def().Title())
	return true
}

// constantOf is the value of v behind at most depth operators of chain, nil if
// it is not constant.
func constantOf(m *graph.Model, v *graph.Value, depth int) *tensor.Tensor {
	if t := v.Const(); t != nil {
		return t
	}
	d := v.Def()
	if d == nil || depth == 0 || !d.Is(chain...) {
		return nil
	}
	r, err := op.Resolve(d, m.Opset)
	if err != nil {
		return nil
	}
	in := make([]tensor.Value, len(d.Inputs()))
	for i, x := range d.Inputs() {
		if x == nil {
			continue
		}
		t := constantOf(m, x, depth-1)
		if t == nil {
			return nil
		}
		in[i] = t
	}
	out, err := r.Run(d, &op.Env{}, in)
	if err != nil || len(out) != 1 {
		return nil
	}
	t, _ := out[0].(*tensor.Tensor)
	return t
}

// plainGemm folds alpha into B and beta into C, puts a Transpose before A, and
// adds a C that is not one constant for each channel behind; false when no more
// rewrites are allowed.
func plainGemm(c *pass.Context, n *graph.Node) bool {
	w, b := n.In(1).Const(), n.In(2)
	if w == nil || w.Type != tensor.Float32 || w.Rank() != 2 {
		return true
	}
	alpha, beta := n.Float("alpha", 1), n.Float("beta", 1)
	channels := w.Shape[gemmAxis(n)]
	bias := channelBias(b, channels, beta)
	if alpha == 1 && n.Int("transA", 0) == 0 && (b == nil || bias != nil && b.Const().Rank() == 1 && beta == 1) {
		return true
	}
	if !c.Allow() {
		return false
	}
	g := n.Graph()
	if n.Int("transA", 0) != 0 {
		n.SetIn(0, g.Add(n, "Transpose", "a", []*graph.Value{n.In(0)}, graph.Ints("perm", 1, 0)))
		n.RemoveAttr("transA")
	}
	if alpha != 1 {
		n.SetIn(1, g.AddInitializer(n.In(1).Name, &graph.Data{Tensor: scaled(w, alpha)}))
		n.RemoveAttr("alpha")
	}
	n.RemoveAttr("beta")
	switch {
	case bias != nil:
		n.SetIn(2, g.AddInitializer(b.Name, &graph.Data{Tensor: bias}))
	case b != nil:
		addBehind(n, b, beta)
	}
	c.Changed(n, "made plain: no alpha, beta, transA; C is a vector or added behind")
	return true
}

// channelBias is beta times a constant C as a vector, nil for another C.
func channelBias(b *graph.Value, channels int, beta float32) *tensor.Tensor {
	t := b.Const()
	if t == nil || t.Type != tensor.Float32 || t.Len() != 1 && (t.Len() != channels || t.Shape[t.Rank()-1] != channels) {
		return nil
	}
	v := make([]float32, channels)
	for i := range v {
		v[i] = beta * t.Float32s()[min(i, t.Len()-1)]
	}
	return tensor.Vector(v...)
}

func scaled(t *tensor.Tensor, by float32) *tensor.Tensor {
	v := slices.Clone(t.Float32s())
	for i := range v {
		v[i] *= by
	}
	return tensor.Of(t.Shape, v)
}

// addBehind takes C out of n: Y = Gemm(A, B) + beta*C.
func addBehind(n *graph.Node, b *graph.Value, beta float32) {
	g, at := n.Graph(), n.Next()
	n.SetInputs(n.In(0), n.In(1))
	if beta != 1 {
		b = g.Add(at, "Mul", b.Name, []*graph.Value{b, g.AddInitializer("beta", &graph.Data{Tensor: tensor.Scalar(beta)})})
	}
	y := n.Out(0)
	sum := g.NewNode("Add", []*graph.Value{nil, b}, []string{g.Fresh(y.Name)})
	g.InsertBefore(at, sum)
	if y.ReplaceAll(sum.Out(0)) {
		sum.SetIn(0, y)
	}
}

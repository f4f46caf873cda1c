package fuse

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Affine folds Add, Sub, Mul and Div by constants, one value for each output
// channel, into the convolution or Gemm before them, and turns a MatMul of
// matrices followed by a constant Add into Gemm.
var Affine = pass.Pass{
	Name:   "fuse-affine",
	Group:  "simplify",
	Doc:    "merge Add, Sub, Mul, Div by channel constants into Conv and Gemm; MatMul + Add into Gemm",
	Effect: pass.Close,
	Run:    runAffine,
}

func runAffine(c *pass.Context, m *graph.Model) error {
	s := c.Shapes()
	for n := range m.Graph.All() {
		if !n.Is("Add", "Sub", "Mul", "Div") || m.Opset("") < 7 {
			continue
		}
		x, k, swapped := operand(n)
		if k == nil || x.Def() == nil {
			continue
		}
		if n.Op == "Add" && x.Def().Is("MatMul") {
			t := s.Type(x)
			if matMulToGemm(c, n, x, k, t.Ranked && len(t.Shape) == 2) {
				return nil
			}
			continue
		}
		if swapped && (n.Op == "Sub" || n.Op == "Div") {
			continue
		}
		lin, reason := linearBefore(m, x)
		if lin == nil {
			if x.Def().Is("Conv", "ConvTranspose", "Gemm") {
				c.Kept(n, "%s", reason)
			}
			continue
		}
		rank := lin.node.In(1).Const().Rank()
		v := channelValues(k.Const(), rank, lin.channels)
		if v == nil {
			c.Kept(n, "constant %s is not one value for each output channel", k.Name)
			continue
		}
		if !c.Allow() {
			return nil
		}
		scale, shift := affineOf(n.Op, v)
		lin.apply(scale, shift)
		if n.Out(0).Supersede(x) {
			c.Changed(n, "folded into %s", lin.node.Title())
			n.Graph().Remove(n)
		}
	}
	c.KeepShapes(s)
	return nil
}

// operand is the variable and the constant input of a binary node; swapped
// when the constant comes first.
func operand(n *graph.Node) (x, k *graph.Value, swapped bool) {
	a, b := n.In(0), n.In(1)
	switch {
	case a == nil || b == nil:
	case b.Const() != nil && a.Const() == nil:
		return a, b, false
	case a.Const() != nil && b.Const() == nil:
		return b, a, true
	}
	return nil, nil, false
}

// channelValues is one value for each of n channels (axis 1 of a result of the
// rank) of a constant that varies along no other axis; nil otherwise.
func channelValues(t *tensor.Tensor, rank, n int) []float64 {
	if !t.Type.IsFloat() || t.Rank() > rank {
		return nil
	}
	if t.Len() != 1 {
		at := 1 - (rank - t.Rank()) // the channel axis inside t
		if at < 0 || t.Len() != n || t.Shape[at] != n {
			return nil
		}
	}
	v, out := t.Floats(), make([]float64, n)
	for i := range out {
		out[i] = v[min(i, len(v)-1)]
	}
	return out
}

// affineOf is y op v as scale*y + shift.
func affineOf(op string, v []float64) (scale, shift []float64) {
	scale, shift = make([]float64, len(v)), make([]float64, len(v))
	for i, x := range v {
		scale[i] = 1
		switch op {
		case "Add":
			shift[i] = x
		case "Sub":
			shift[i] = -x
		case "Mul":
			scale[i] = x
		case "Div":
			scale[i] = 1 / x
		}
	}
	return scale, shift
}

// matMulToGemm reports that no more rewrites are allowed.
func matMulToGemm(c *pass.Context, n *graph.Node, x, k *graph.Value, isMatrix bool) bool {
	mm, t := x.Def(), k.Const()
	w := mm.In(1).Const()
	if !isMatrix || w == nil || w.Rank() != 2 || x.Only() == nil || t.Rank() > 2 || t.Len() != w.Shape[1] ||
		t.Rank() == 0 || t.Shape[t.Rank()-1] != w.Shape[1] || w.Type != t.Type || w.Type != tensor.Float32 {
		return false
	}
	if !c.Allow() {
		return true
	}
	g := n.Graph()
	y := g.Add(n, "Gemm", n.Out(0).Name, []*graph.Value{mm.In(0), mm.In(1), k})
	if n.Out(0).Supersede(y) {
		y.Def().Name = g.Fresh(mm.Name + "_gemm")
		c.Changed(n, "merged with %s into Gemm", mm.Title())
		g.Remove(n)
		g.Remove(mm)
	}
	return false
}

package quant

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// QOperator writes quantized layers as one operator each: DequantizeLinear - Conv
// or MatMul - QuantizeLinear becomes QLinearConv or QLinearMatMul, and data
// movement reads and writes integers.
var QOperator = pass.Pass{
	Name:   "qoperator",
	Doc:    "write quantized layers as QLinearConv and QLinearMatMul instead of between DequantizeLinear and QuantizeLinear",
	Effect: pass.Lossy,
	Needs:  pass.Quantized,
	Run:    qoperator,
}

func qoperator(c *pass.Context, m *graph.Model) error {
	for n := range m.Graph.Nodes() {
		if !n.Is("Conv", "MatMul", "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather") || !dequantized(n.In(0)) {
			continue
		}
		q, reason := quantizeBehind(n)
		if q == nil {
			c.Kept(n, "stays between DequantizeLinear and QuantizeLinear: %s", reason)
			continue
		}
		if !n.Is("Conv", "MatMul") {
			if !sameParams(n.In(0).Def(), q) {
				c.Kept(n, "its input and result have different scales")
				continue
			}
			if !c.Allow() {
				return nil
			}
			n.SetIn(0, n.In(0).Def().In(0))
			n.Out(0).Type = graph.Type{}
			q.Out(0).ReplaceAll(n.Out(0))
			m.Graph.Remove(q)
			c.Changed(n, "reads and writes integers")
			continue
		}
		if !dequantized(n.In(1)) || n.In(2) != nil && !dequantized(n.In(2)) {
			c.Kept(n, "its weight or bias is not quantized")
			continue
		}
		if !c.Allow() {
			return nil
		}
		linear(c, n, q)
	}
	return nil
}

// quantizeBehind is the QuantizeLinear that alone reads n's result. A Relu
// between goes where the zero point is the least value: saturation does the same.
func quantizeBehind(n *graph.Node) (*graph.Node, string) {
	next := readerBeside(n.Out(0))
	relu := next != nil && next.Is("Relu")
	if relu {
		next = readerBeside(next.Out(0))
	}
	if next == nil || !next.Is("QuantizeLinear") || next.In(2) == nil || next.In(2).Const() == nil {
		return nil, "its result is not quantized, or by an activation that is no Relu"
	}
	z := next.In(2).Const()
	if least, _ := z.Type.IntRange(); relu && z.Ints()[0] != least {
		return nil, "the Relu behind it does not end at the zero point"
	}
	return next, ""
}

func sameParams(d, q *graph.Node) bool {
	return d.In(1) == q.In(1) && d.In(2) == q.In(2)
}

// linear replaces n between its converters by the QLinear operator.
func linear(c *pass.Context, n, q *graph.Node) {
	g := n.Graph()
	x, w := n.In(0).Def(), n.In(1).Def()
	in := []*graph.Value{x.In(0), x.In(1), x.In(2), w.In(0), w.In(1), w.In(2), q.In(1), q.In(2)}
	name := "QLinearMatMul"
	if n.Is("Conv") {
		name = "QLinearConv"
		if b := n.In(2); b != nil {
			in = append(in, b.Def().In(0))
		}
	}
	y := g.NewNode(name, in, []string{g.Fresh("q")}, slices.Clone(n.Attrs)...)
	g.InsertBefore(q, y)
	y.Name = n.Name
	q.Out(0).Supersede(y.Out(0))
	c.Changed(n, "became %s", name)
	relu := q.In(0).Def()
	g.Remove(q)
	if relu != n {
		g.Remove(relu)
	}
	g.Remove(n)
}

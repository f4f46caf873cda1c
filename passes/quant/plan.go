// Package quant holds the passes that quantize a model: choosing what becomes
// integer, calibrating activation ranges, and writing QuantizeLinear and
// DequantizeLinear.
package quant

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// plan is which nodes run in integers and which values carry a scale.
type plan struct {
	m      *graph.Model
	shapes *shape.Info
	s      pass.QuantSettings
	kept   func(n *graph.Node, format string, args ...any)

	nodes  map[*graph.Node]*quantNode // nodes that read and write quantized values
	values map[*graph.Value]bool      // values that get QuantizeLinear and DequantizeLinear
	order  []*graph.Node              // keys of nodes, in graph order
}

// quantNode is how one node is quantized.
type quantNode struct {
	kind   op.QuantKind
	act    []int        // activation slots
	weight int          // weight slot, 0 if none
	axis   int          // output channel axis of the weight
	result *graph.Value // the value to quantize behind the node: its output, or that of a fused activation
	float  bool         // the result stays float: Gemm or MatMul with float readers only
}

// newPlan walks the graph backwards from the integer operators: pooling,
// additions and data movement between them become integer too, where both
// sides are; everything else keeps its float form, with a reason.
func newPlan(m *graph.Model, s pass.QuantSettings, shapes *shape.Info, kept func(*graph.Node, string, ...any)) *plan {
	p := &plan{m: m, shapes: shapes, s: s, kept: kept, nodes: map[*graph.Node]*quantNode{}, values: map[*graph.Value]bool{}}
	for n := range m.Graph.Backward() {
		q, reason := p.classify(n)
		if q == nil {
			if reason != "" {
				kept(n, "%s", reason)
			}
			continue
		}
		p.nodes[n] = q
		for _, i := range q.act {
			p.values[n.In(i)] = true
		}
	}
	for n := range m.Graph.Nodes() {
		if p.nodes[n] != nil {
			p.order = append(p.order, n)
		}
	}
	p.settleResults()
	return p
}

// classify decides on n, given the decisions on everything after it.
func (p *plan) classify(n *graph.Node) (*quantNode, string) {
	r, err := op.Resolve(n, p.m.Opset)
	if err != nil {
		return nil, "unknown operator: left as it is"
	}
	if slices.Contains(p.s.Skip, n.Name) || slices.Contains(p.s.Skip, n.Op) {
		return nil, "skipped on request"
	}
	switch r.Quant.Kind {
	case op.QuantInteger:
		return p.integer(n, r.Quant)
	case op.QuantSame:
		return p.same(n)
	case op.QuantEach, op.QuantMerge:
		return p.each(n, r.Quant)
	}
	return nil, fmt.Sprintf("%s has no integer form", n.Op)
}

func (p *plan) integer(n *graph.Node, q op.Quant) (*quantNode, string) {
	out := &quantNode{kind: op.QuantInteger, act: []int{0}, axis: q.Axis, result: n.Out(0)}
	if t := p.shapes.Type(n.Out(0)); t.Elem != tensor.Float32 {
		return nil, fmt.Sprintf("computes in %v, not float32", t.Elem)
	}
	w := n.In(1)
	switch t := w.Const(); {
	case t != nil && t.Type == tensor.Float32:
		out.weight = 1
		if n.Is("Gemm") && n.Int("transB", 0) == 0 {
			out.axis = 1
		}
		if n.Is("MatMul") {
			out.axis = t.Rank() - 1
		}
		if n.Is("ConvTranspose") && n.Int("group", 1) > 1 {
			out.axis = -1 // one scale: its channels are split over the groups
		}
	case n.Is("MatMul") && t == nil:
		out.act = []int{0, 1}
	default:
		return nil, "weight is not a constant float32 initializer"
	}
	if n.Is("Gemm") {
		if n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0 {
			return nil, "alpha, beta or transA is set"
		}
		if b := n.In(2); b != nil && (b.Const() == nil || b.Const().Len() != w.Const().Shape[out.axis]) {
			return nil, "C is not one constant for each output channel"
		}
	}
	if b := n.In(2); b != nil && !n.Is("MatMul") && (b.Const() == nil || b.Const().Type != tensor.Float32) {
		return nil, "bias is not a constant float32 initializer"
	}
	if a := n.In(0); a.Const() != nil {
		return nil, "activation is a constant"
	}
	// A fused activation: the scale stands behind it.
	if next := n.Out(0).Only(); next != nil && next.Is("Relu", "Clip") && next.In(0) == n.Out(0) {
		out.result = next.Out(0)
	}
	return out, ""
}

// wanted reports that v is read, in quantized form, by every reader.
func (p *plan) wanted(v *graph.Value) bool {
	if !p.values[v] {
		return false
	}
	for _, u := range v.Uses() {
		if u.Node == nil || p.nodes[u.Node] == nil {
			return false
		}
	}
	return true
}

// same handles operators whose result has the scale of input 0.
func (p *plan) same(n *graph.Node) (*quantNode, string) {
	v := n.Out(0)
	if !p.wanted(v) {
		return nil, "its readers are float"
	}
	if n.Is("Relu", "Clip") {
		if d := n.In(0).Def(); d != nil && d.Is("Conv", "ConvTranspose", "Gemm", "MatMul", "Add") && n.In(0).Only() == n {
			return nil, "" // fused with the node before it, which is reported
		}
		return nil, "stands alone: runs between float values"
	}
	if p.shapes.Type(v).Elem != tensor.Float32 || len(n.Outputs()) > 1 || n.In(0).Const() != nil {
		return nil, "not a float32 value with one result"
	}
	return &quantNode{kind: op.QuantSame, act: []int{0}, result: v}, ""
}

// each handles operators with a scale on every input and the result.
func (p *plan) each(n *graph.Node, q op.Quant) (*quantNode, string) {
	result := n.Out(0)
	if next := result.Only(); next != nil && n.Is("Add") && next.Is("Relu") {
		result = next.Out(0)
	}
	if !n.Is("Add", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean") {
		return nil, fmt.Sprintf("%s is more accurate in float", n.Op)
	}
	if !p.wanted(result) {
		return nil, "its readers are float"
	}
	act := q.Act
	if q.Kind == op.QuantMerge {
		act = nil
		for i := range n.Inputs() {
			act = append(act, i)
		}
	} else if act == nil {
		act = []int{0}
	}
	for _, i := range act {
		v := n.In(i)
		if v == nil || v.Const() != nil || p.shapes.Type(v).Elem != tensor.Float32 {
			return nil, "an input is constant or not float32"
		}
		if !p.fromInteger(v) {
			return nil, fmt.Sprintf("input %s comes from a float operator", v.Name)
		}
	}
	return &quantNode{kind: q.Kind, act: act, result: result}, ""
}

// fromInteger reports that v is a graph input or comes, through data movement
// and activations, from an operator that has an integer form.
func (p *plan) fromInteger(v *graph.Value) bool {
	for range 64 {
		d := v.Def()
		if d == nil {
			return v.IsInput()
		}
		r, err := op.Resolve(d, p.m.Opset)
		if err != nil {
			return false
		}
		switch r.Quant.Kind {
		case op.QuantInteger:
			return true
		case op.QuantEach, op.QuantMerge:
			return d.Is("Add", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean")
		case op.QuantSame:
			v = d.In(0)
		default:
			return false
		}
	}
	return false
}

// settleResults decides for every integer node whether its result is
// quantized. Conv has no integer form with a float result; Gemm and MatMul
// have, which is exact where the readers are float.
func (p *plan) settleResults() {
	for _, n := range p.order {
		q := p.nodes[n]
		if q.kind != op.QuantInteger {
			p.values[q.result] = true
			continue
		}
		if n.Is("Conv", "ConvTranspose") || p.values[q.result] && p.wanted(q.result) {
			p.values[q.result] = true
			continue
		}
		q.float = true
	}
}

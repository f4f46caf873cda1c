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
	m       *graph.Model
	shapes  *shape.Info
	s       pass.QuantSettings
	profile *Profile
	ranges  pass.Ranges // nil before calibration

	nodes  map[*graph.Node]*quantNode // nodes that read and write quantized values
	values map[*graph.Value]bool      // values that get QuantizeLinear and DequantizeLinear
	order  []*graph.Node              // keys of nodes, in graph order

	integers map[*graph.Value]bool // memory of fromInteger
}

// quantNode is how one node is quantized.
type quantNode struct {
	kind   op.QuantKind
	act    []int        // activation slots
	weight int          // weight slot, -1 if none
	axis   int          // output channel axis of the weight, -1 for one scale
	result *graph.Value // the value to quantize behind the node: its output, or that of a fused activation
	float  bool         // the result stays float: Gemm or MatMul with float readers only
}

// newPlan walks the graph backwards from the integer operators: pooling,
// additions and data movement between them become integer too, where both
// sides are; everything else keeps its float form, with a reason.
func newPlan(c *pass.Context, m *graph.Model, kept func(*graph.Node, string, ...any)) (*plan, error) {
	profile, err := FindProfile(c.Settings.Quant.Profile)
	if err != nil {
		return nil, err
	}
	p := &plan{m: m, shapes: c.Shapes(), s: c.Settings.Quant, profile: profile, ranges: c.Ranges,
		nodes: map[*graph.Node]*quantNode{}, values: map[*graph.Value]bool{}, integers: map[*graph.Value]bool{}}
	p.s.PerTensor = p.s.PerTensor || m.Opset("") < PerChannelOpset
	integers := false
	for n := range m.Graph.Backward() {
		q, reason := p.classify(n)
		if q == nil {
			if reason != "" {
				kept(n, "%s", reason)
			}
			continue
		}
		p.nodes[n] = q
		integers = integers || q.kind == op.QuantInteger
		for _, i := range q.act {
			p.values[n.In(i)] = true
		}
	}
	for n := range m.Graph.Nodes() {
		if p.nodes[n] != nil {
			p.order = append(p.order, n)
		}
	}
	if !integers {
		p.nodes, p.order = nil, nil
	}
	p.settleResults()
	return p, nil
}

// Layers is the titles of the nodes that quantize would make integer products
// of, in graph order, with their operators.
func Layers(c *pass.Context, m *graph.Model) (titles, ops []string, err error) {
	p, err := newPlan(c, m, silent)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range p.order {
		if p.nodes[n].kind == op.QuantInteger {
			titles, ops = append(titles, Title(n)), append(ops, n.Op)
		}
	}
	return titles, ops, nil
}

// silent is a newPlan that reports nothing.
func silent(*graph.Node, string, ...any) {}

// unusable says why v cannot carry a scale, "" if it can.
func (p *plan) unusable(v *graph.Value) string {
	switch {
	case v == nil:
		return "an input is absent"
	case v.Const() != nil:
		return "input " + v.Name + " is a constant"
	case p.shapes.Type(v).Elem != tensor.Float32:
		return fmt.Sprintf("input %s is %v, not float32", v.Name, p.shapes.Type(v).Elem)
	}
	return p.unbounded(v)
}

// unbounded says why the calibrated range of v cannot be used.
func (p *plan) unbounded(v *graph.Value) string {
	if p.ranges == nil {
		return ""
	}
	r, ok := p.ranges[v.Name]
	switch {
	case !ok:
		return "value " + v.Name + " was not seen in calibration"
	case r.Unbounded != "":
		return fmt.Sprintf("value %s has %s", v.Name, r.Unbounded)
	}
	return ""
}

// classify decides on n, given the decisions on everything after it.
func (p *plan) classify(n *graph.Node) (*quantNode, string) {
	r, err := op.Resolve(n, p.m.Opset)
	if err != nil {
		return nil, "unknown operator: left as it is"
	}
	if skipped(n, p.s) {
		return nil, "skipped on request"
	}
	if sensitive(n, p.s) {
		return nil, "too sensitive: stays float"
	}
	switch {
	case r.Quant.Kind == op.QuantNone || graph.CanonicalDomain(n.Domain) != "":
		return nil, fmt.Sprintf("%s has no integer form", n.Op)
	case !p.profile.quantizes(n.Op):
		return nil, fmt.Sprintf("%s stays float for target %s", n.Op, p.profile.Name)
	case r.Quant.Kind == op.QuantInteger:
		return p.integer(n, r.Quant)
	case r.Quant.Kind == op.QuantSame:
		return p.same(n)
	}
	return p.each(n, r.Quant)
}

func skipped(n *graph.Node, s pass.QuantSettings) bool {
	return slices.Contains(s.Skip, Title(n)) || slices.Contains(s.Skip, n.Op)
}

// sensitive reports that n was found too sensitive for integers.
func sensitive(n *graph.Node, s pass.QuantSettings) bool {
	return slices.Contains(s.Half, Title(n)) || slices.Contains(s.Float, Title(n))
}

// Title is the name by which Skip and recipes call a node: its own, or that of
// its first output.
func Title(n *graph.Node) string {
	if n.Name != "" || n.Out(0) == nil {
		return n.Name
	}
	return n.Out(0).Name
}

func (p *plan) integer(n *graph.Node, q op.Quant) (*quantNode, string) {
	out := &quantNode{kind: op.QuantInteger, act: []int{0}, weight: -1, axis: -1, result: n.Out(0)}
	if t := p.shapes.Type(n.Out(0)); t.Elem != tensor.Float32 {
		return nil, fmt.Sprintf("computes in %v, not float32", t.Elem)
	}
	a, w := n.In(0), n.In(1)
	switch {
	case isFloat(w.Const()):
		out.weight, out.axis = 1, p.weightChannels(n, w.Const(), q)
	case n.Is("MatMul") && isFloat(a.Const()):
		out.act, out.weight = []int{1}, 0
	case n.Is("MatMul"):
		out.act = []int{0, 1}
	case w.Def() != nil && w.Def().Is("DequantizeLinear"):
		return nil, "its weight is quantized already"
	default:
		return nil, "its weight is not a constant float32 tensor"
	}
	if n.Is("Gemm") && (n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0) {
		return nil, "alpha, beta or transA is set"
	}
	if b := n.In(2); b != nil && !n.Is("MatMul") {
		if t := b.Const(); t == nil || t.Type != tensor.Float32 || t.Rank() != 1 || n.Is("Gemm") && t.Len() != w.Const().Shape[gemmAxis(n)] {
			return nil, "its bias is not one constant float32 for each output channel"
		}
	}
	for _, i := range out.act {
		if reason := p.unusable(n.In(i)); reason != "" {
			return nil, reason
		}
	}
	if p.ranges != nil && p.profile.padsWrongly(n, p.shapes) && p.shifted(a) {
		return nil, "depthwise with padding: the target pads planes of this size with 0 instead of the zero point"
	}
	// A fused activation: the scale stands behind it.
	if next := readerBeside(n.Out(0)); next != nil && next.Is("Relu", "Clip") && next.In(0) == n.Out(0) {
		out.result = next.Out(0)
	}
	if !slices.Contains(p.profile.FloatResult, n.Op) {
		if reason := p.unbounded(out.result); reason != "" {
			return nil, reason
		}
	}
	return out, ""
}

// readerBeside is the single node that reads v, nil if there are other uses, or
// if it is in a subgraph of v's graph.
func readerBeside(v *graph.Value) *graph.Node {
	if n := v.Only(); n != nil && n.Graph() == v.Graph() {
		return n
	}
	return nil
}

// shifted reports that the zero point of v, or of what data movement makes it
// of, is not 0.
func (p *plan) shifted(v *graph.Value) bool {
	for ; ; v = v.Def().In(0) {
		if p.s.SymmetricActivations || p.ranges[v.Name].Range.Min < 0 {
			return true
		}
		if d := v.Def(); d == nil || !slices.Contains(p.profile.Same, d.Op) {
			return false
		}
	}
}

func isFloat(t *tensor.Tensor) bool { return t != nil && t.Type == tensor.Float32 && t.Len() > 0 }

func gemmAxis(n *graph.Node) int {
	if n.Int("transB", 0) != 0 {
		return 0
	}
	return 1
}

// weightChannels is the axis of w that has a scale for each output channel, -1
// where one scale serves all: the channels of a grouped ConvTranspose are split
// over the groups, and a stack of matrices is multiplied by a stack.
func (p *plan) weightChannels(n *graph.Node, w *tensor.Tensor, q op.Quant) int {
	switch {
	case p.s.PerTensor || !p.profile.PerChannel || n.Is("ConvTranspose") && n.Int("group", 1) > 1:
		return -1
	case n.Is("Gemm"):
		return gemmAxis(n)
	case n.Is("MatMul") && w.Rank() == 2:
		return 1
	case n.Is("MatMul"):
		return -1
	}
	return q.Axis
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
	always := p.profile.QuantizedMaxPool && n.Is("MaxPool")
	if !p.wanted(v) && !always {
		return nil, "its readers are float"
	}
	if n.Is("Relu", "Clip") {
		if d := n.In(0).Def(); d != nil && d.Is("Conv", "ConvTranspose", "Gemm", "MatMul", "Add") && n.In(0).Only() == n {
			return nil, "" // fused with the node before it, which is reported
		}
		return nil, "stands alone: runs between float values"
	}
	if len(n.Outputs()) > 1 && n.Out(1) != nil {
		return nil, "has more than one result"
	}
	if n.Is("Pad") && n.Str("mode", "constant") == "constant" && n.In(2) != nil && !isZero(n.In(2).Const()) {
		return nil, "pads with another value than 0"
	}
	if reason := p.unusable(n.In(0)); reason != "" {
		return nil, reason
	}
	if !p.fromInteger(n.In(0)) && !always {
		return nil, "its input comes from a float operator"
	}
	return &quantNode{kind: op.QuantSame, act: []int{0}, weight: -1, result: v}, ""
}

func isZero(t *tensor.Tensor) bool {
	return t != nil && t.Len() == 1 && t.Type.IsFloat() && t.Floats()[0] == 0
}

// each handles operators with a scale on every input and the result.
func (p *plan) each(n *graph.Node, q op.Quant) (*quantNode, string) {
	result := n.Out(0)
	if next := readerBeside(result); next != nil && n.Is("Add") && next.Is("Relu") {
		result = next.Out(0)
	}
	if !p.wanted(result) {
		return nil, "its readers are float"
	}
	if reason := p.unbounded(result); reason != "" {
		return nil, reason
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
		if reason := p.unusable(v); reason != "" {
			return nil, reason
		}
		if !p.fromInteger(v) {
			return nil, fmt.Sprintf("input %s comes from a float operator", v.Name)
		}
	}
	return &quantNode{kind: q.Kind, act: act, weight: -1, result: result}, ""
}

// fromInteger reports that v is a graph input or comes, through data movement
// and activations, from operators that have an integer form.
func (p *plan) fromInteger(v *graph.Value) bool {
	if known, ok := p.integers[v]; ok {
		return known
	}
	p.integers[v] = false // a cycle cannot be; this bounds hostile graphs
	p.integers[v] = p.integerSource(v)
	return p.integers[v]
}

func (p *plan) integerSource(v *graph.Value) bool {
	d := v.Def()
	if d == nil {
		return v.IsInput()
	}
	r, err := op.Resolve(d, p.m.Opset)
	if err != nil || !p.profile.quantizes(d.Op) || skipped(d, p.s) || sensitive(d, p.s) {
		return false
	}
	switch r.Quant.Kind {
	case op.QuantInteger:
		return true
	case op.QuantSame:
		return p.fromInteger(d.In(0))
	case op.QuantEach, op.QuantMerge:
		for i, in := range d.Inputs() {
			if (i == 0 || len(r.Quant.Act) > 1 || r.Quant.Kind == op.QuantMerge) && (in == nil || !p.fromInteger(in)) {
				return false
			}
		}
		return true
	}
	return false
}

// settleResults decides for every integer node whether its result is
// quantized: where an integer form with a float result exists, which is exact,
// it is used for float readers.
func (p *plan) settleResults() {
	for _, n := range p.order {
		q := p.nodes[n]
		if q.kind != op.QuantInteger {
			p.values[q.result] = true
			continue
		}
		if !slices.Contains(p.profile.FloatResult, n.Op) || p.values[q.result] && p.wanted(q.result) {
			p.values[q.result] = true
			continue
		}
		q.float = true
	}
}

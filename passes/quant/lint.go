package quant

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// Verdict is what a target does with a node.
type Verdict uint8

const (
	// Refused: the target does not load the model, or fails in it.
	Refused Verdict = iota
	// Float: the node has quantized neighbours, but the target runs it in float.
	Float
	// Integer: the target runs the node in integers.
	Integer
	// Requantized: the target quantizes the node's float weight itself.
	Requantized
)

func (v Verdict) String() string { return [...]string{"refused", "float", "integer", "requantized"}[v] }

// MarshalText writes the verdict's name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Finding is what a target does with one node, or with the model if Node is "".
type Finding struct {
	Node    string  `json:"node,omitempty"`
	Op      string  `json:"op,omitempty"`
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why"`
}

// Lint says of the model and of every node that a target could run in integers
// what the target does with it, and why not better.
func Lint(m *graph.Model, p *Profile) []Finding {
	l := &linter{m: m, p: p, shapes: shape.Infer(m)}
	l.model()
	for n := range m.Graph.All() {
		l.quantized = l.quantized || n.Is("QuantizeLinear", "DequantizeLinear")
	}
	for n := range m.Graph.All() {
		l.node(n)
	}
	return l.found
}

type linter struct {
	m         *graph.Model
	p         *Profile
	shapes    *shape.Info
	quantized bool
	found     []Finding
}

func (l *linter) add(n *graph.Node, v Verdict, format string, args ...any) {
	f := Finding{Verdict: v, Why: fmt.Sprintf(format, args...)}
	if n != nil {
		f.Node, f.Op = Title(n), n.Op
	}
	l.found = append(l.found, f)
}

func (l *linter) model() {
	opset := l.m.Opset("")
	if opset > l.p.MaxOpset {
		l.add(nil, Refused, "opset %d; the target reads up to %d", opset, l.p.MaxOpset)
	}
	for _, f := range l.m.Functions {
		if l.p.Name == "opencv" || l.p.Name == "portable" {
			l.add(nil, Refused, "model-local function %s: inline it", f.Name)
		}
	}
}

func (l *linter) node(n *graph.Node) {
	switch {
	case !n.Is(n.Op) && l.p.Name != "onnxruntime" && l.m.Function(n.Domain, n.Op, n.Overload) == nil:
		l.add(n, Refused, "operator of domain %s", n.Domain)
	case n.Is("QuantizeLinear", "DequantizeLinear"):
		l.converter(n)
	case n.Is("LSTM", "GRU", "RNN"):
		for _, i := range []int{1, 2} {
			if d := def(n.In(i)); d != nil && d.Is("DequantizeLinear") && (l.p.Name == "openvino" || l.p.Name == "portable") {
				l.add(n, Refused, "weight %d is dequantized; the target wants a constant", i)
			}
		}
	case n.Is("MaxPool") && l.quantized && l.p.QuantizedMaxPool && !(dequantized(n.In(0)) && quantizedBehind(n)):
		l.add(n, Refused, "a MaxPool of a quantized model must be between DequantizeLinear and QuantizeLinear")
	case slices.Contains(l.p.Integer, n.Op):
		l.integer(n)
	case l.p.quantizes(n.Op):
		l.other(n)
	}
}

func def(v *graph.Value) *graph.Node {
	if v == nil {
		return nil
	}
	return v.Def()
}

func dequantized(v *graph.Value) bool { d := def(v); return d != nil && d.Is("DequantizeLinear") }

// quantizedBehind reports that QuantizeLinear alone reads n's result, maybe
// behind a fused activation.
func quantizedBehind(n *graph.Node) bool {
	next := readerBeside(n.Out(0))
	if next != nil && next.Is("Relu", "Clip") {
		next = readerBeside(next.Out(0))
	}
	return next != nil && next.Is("QuantizeLinear")
}

// converter checks a QuantizeLinear or DequantizeLinear.
func (l *linter) converter(n *graph.Node) {
	scale, zero := n.In(1), n.In(2)
	if n.Attr("axis") != nil && l.m.Opset("") < PerChannelOpset {
		l.add(n, Refused, "attribute axis in opset %d, it came with %d", l.m.Opset(""), PerChannelOpset)
	}
	if scale == nil || scale.Const() == nil || zero != nil && zero.Const() == nil {
		l.add(n, Float, "scale or zero point is not constant")
		return
	}
	for _, s := range scale.Const().Floats() {
		if !(s > 0) || math.IsInf(s, 0) {
			l.add(n, Refused, "scale %v", s)
			break
		}
	}
	weight := n.Is("DequantizeLinear") && n.In(0).Const() != nil
	t := tensor.Uint8
	if zero != nil {
		t = zero.Const().Type
	} else if weight {
		t = n.In(0).Const().Type
	}
	switch {
	case weight && t == tensor.Int32:
	case weight && !slices.Contains(l.p.Weights, t):
		l.add(n, Refused, "weights of type %v; the target takes %v", t, l.p.Weights)
	case !weight && !slices.Contains(l.p.Activations, t):
		l.add(n, Refused, "activations of type %v; the target takes %v", t, l.p.Activations)
	case l.p.Symmetric && zero != nil && slices.ContainsFunc(zero.Const().Ints(), func(z int64) bool { return z != 0 }):
		l.add(n, Refused, "zero point is not 0; the target takes symmetric types only")
	}
	if n.Is("DequantizeLinear") && len(n.Out(0).Uses()) > 1 && !weight && (l.p.Name == "opencv" || l.p.Name == "portable") {
		l.add(n, Refused, "%d nodes read it; the target fuses it with one of them and leaves nothing for the others", len(n.Out(0).Uses()))
	}
}

// integer checks a Conv, Gemm, MatMul or ConvTranspose.
func (l *linter) integer(n *graph.Node) {
	if d := requantized(n); d != nil && l.p.Requantizes {
		l.add(n, Requantized, "%s", requantizedWhy(d))
		return
	}
	if !dequantized(n.In(0)) || !dequantized(n.In(1)) {
		if l.quantized {
			l.add(n, Float, "activation or weight is not quantized")
		}
		return
	}
	if b := def(n.In(2)); b != nil && b.Is("DequantizeLinear") && !n.Is("MatMul") {
		if l.p.FloatBias {
			l.add(n, Refused, "bias is quantized; the target adds it in float")
			return
		}
		if why := biasScale(n, b); why != "" {
			l.add(n, Float, "%s", why)
			return
		}
	}
	if z := def(n.In(0)).In(2); z != nil && !isZeroPoint(z.Const()) && l.p.padsWrongly(n, l.shapes) {
		l.add(n, Refused, "depthwise with padding: planes of this size are padded with 0 instead of the zero point")
		return
	}
	if n.Is("Gemm") && (n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0) {
		l.add(n, Float, "alpha, beta or transA is set")
		return
	}
	if !quantizedBehind(n) && !slices.Contains(l.p.FloatResult, n.Op) {
		l.add(n, Float, "its result is not quantized")
		return
	}
	l.add(n, Integer, "between quantized tensors")
}

func isZeroPoint(t *tensor.Tensor) bool { return t != nil && t.Len() == 1 && t.Ints()[0] == 0 }

// biasScale says what is wrong with the scale of a quantized bias: it must be
// x_scale*w_scale.
func biasScale(n, b *graph.Node) string {
	x, w, s := def(n.In(0)).In(1).Const(), def(n.In(1)).In(1).Const(), b.In(1).Const()
	if x == nil || w == nil || s == nil || x.Len() != 1 {
		return "a scale is not constant"
	}
	xs, ws, bs := x.Floats()[0], w.Floats(), s.Floats()
	for i, have := range bs {
		want := xs * ws[min(i, len(ws)-1)]
		if math.Abs(have-want) > 1e-5*want {
			return fmt.Sprintf("scale %g of the bias is not x_scale*w_scale = %g", have, want)
		}
	}
	return ""
}

// other checks the remaining operators that have an integer form.
func (l *linter) other(n *graph.Node) {
	any, all := false, true
	for i, v := range n.Inputs() {
		if v == nil || v.Const() != nil || i > 0 && !slices.Contains(l.p.Each, n.Op) && !slices.Contains(l.p.Merge, n.Op) {
			continue
		}
		any, all = any || dequantized(v), all && dequantized(v)
	}
	switch {
	case !any || n.Is("Relu", "Clip"):
	case !all:
		l.add(n, Float, "only some inputs are quantized")
	case !quantizedBehind(n):
		l.add(n, Float, "its result is not quantized")
	default:
		l.add(n, Integer, "between quantized tensors")
	}
}

package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Lowering is one fast path: it recognizes a node, possibly with nodes before
// it, and runs them in one step. The reference evaluation stays the oracle.
type Lowering struct {
	Name, Doc string
	// Match looks at the last node of what it would cover.
	Match func(l *lowerer, n *graph.Node) *lowered
}

// Lowerings is every fast path, in the order they are tried.
var Lowerings = []Lowering{
	{"integer-quantize", "DequantizeLinear - Conv, Gemm or MatMul - [Relu, Clip] - QuantizeLinear in integers", matchIntegerQuantize},
	{"integer-float", "DequantizeLinear - Gemm or MatMul in integers, with a float result", matchIntegerFloat},
	{"integer-move", "DequantizeLinear - MaxPool, Reshape, Transpose, ... - QuantizeLinear of one scale, on the integers", matchIntegerMove},
	{"conv", "two-dimensional float32 Conv as a matrix product, depthwise directly", matchConv},
	{"gemm", "float32 Gemm and MatMul", matchGemm},
	{"maxpool", "two-dimensional float32 MaxPool", matchMaxPool},
	{"elementwise", "float32 Relu, Clip, Add, Mul and the like without conversion", matchElementwise},
	{"quantize", "float32 QuantizeLinear and DequantizeLinear", matchQuantize},
}

// lowered is a step that a fast path makes: it reads in and computes out.
type lowered struct {
	in, out []*graph.Value
	run     stepFunc
}

// stepFunc computes one step. One that finds inputs it is not made for
// returns errFallback, and the reference runs instead; only those of a
// single node may.
type stepFunc func(f *frame, in []tensor.Value) ([]tensor.Value, error)

// lowerer is what a match function may look at.
type lowerer struct {
	s     *Session
	graph *graph.Graph
	opset func(string) int64
}

// hidden reports that v, computed inside a fused step, is needed nowhere else.
func (l *lowerer) hidden(v *graph.Value) bool {
	return v.Only() != nil && !l.s.watches(v) && v.Graph() == l.graph
}

// watches reports that the session's observer wants v.
func (s *Session) watches(v *graph.Value) bool {
	return s.opts.Observe != nil && (s.opts.Watch == nil || s.opts.Watch[v])
}

// lower finds the fast path of n, nil if there is none.
func (l *lowerer) lower(n *graph.Node) *lowered {
	if l.s.opts.Reference || n.Domain != "" && n.Domain != "ai.onnx" {
		return nil
	}
	for i := range Lowerings {
		if f := Lowerings[i].Match(l, n); f != nil {
			return f
		}
	}
	return nil
}

// float32In is the inputs as float32 tensors; false if one is something else.
func float32In(in []tensor.Value) ([]*tensor.Tensor, bool) {
	out := make([]*tensor.Tensor, len(in))
	for i, v := range in {
		if v == nil {
			continue
		}
		t, ok := v.(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 {
			return nil, false
		}
		out[i] = t
	}
	return out, true
}

package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// matchQuantize covers QuantizeLinear of float32 and DequantizeLinear of 8-bit
// activations with one constant scale.
func matchQuantize(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("QuantizeLinear", "DequantizeLinear") {
		return nil
	}
	q := n.Out(0)
	if n.Is("DequantizeLinear") {
		q = n.In(0)
	}
	a, ok := l.affine(n, q)
	if !ok || !a.is8bit() || a.consts != nil {
		return nil
	}
	f := &lowered{in: []*graph.Value{n.In(0)}, out: n.Outputs(), nodes: []*graph.Node{n}}
	f.place = followLayout(f)
	k := a.bytes()
	if n.Is("QuantizeLinear") {
		lo, hi := a.dtype.IntRange()
		f.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
			x, ok := in[0].(*tensor.Tensor)
			if !ok || x.Type != tensor.Float32 {
				return nil, errFallback
			}
			out := f.new(a.dtype, x.Shape...)
			src, dst := x.Float32s(), out.Bytes()
			f.chunks(len(dst), func(from, to int) { kernel.Quantize8(dst[from:to], src[from:to], k, int32(lo), int32(hi)) })
			return f.one(out)
		}
		return f
	}
	f.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		if !ok || x.Type != a.dtype {
			return nil, errFallback
		}
		out, dst := f.floats(x.Shape...)
		src := x.Bytes()
		f.chunks(len(dst), func(from, to int) { kernel.Dequantize8(dst[from:to], src[from:to], k) })
		return f.one(out)
	}
	return f
}

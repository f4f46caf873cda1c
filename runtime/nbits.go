package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

func isNBits(n *graph.Node) bool { return n.Domain == "com.microsoft" && n.Op == "MatMulNBits" }

// matchNBits is a product with weights in blocks of a few bits, which are
// unpacked once.
func matchNBits(l *lowerer, n *graph.Node) *lowered {
	if !isNBits(n) || l.float32Rank(n.In(0)) < 1 {
		return nil
	}
	r, err := l.resolve(n)
	if err != nil {
		return nil
	}
	in := make([]tensor.Value, len(n.Inputs()))
	for i, v := range n.Inputs()[1:] {
		if v == nil {
			continue
		}
		c := l.constant(v)
		if c == nil {
			return nil
		}
		in[1+i] = c
	}
	w, err := r.NBitsWeight(n, in)
	if err != nil {
		return nil // the error belongs to the run
	}
	m := &matrix{alpha: 1, transB: true}
	if bias := l.constant(n.In(5)); bias != nil {
		if bias.Type != tensor.Float32 || bias.Len() != w.Shape[0] {
			return nil
		}
		m.bias = bias.Float32s()
	}
	f := &lowered{in: n.Inputs()[:1], out: n.Outputs()}
	f.prepare = func() error { m.pack(w); return nil }
	f.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := float32In(in)
		if !ok {
			return nil, errFallback
		}
		a, k, n := t[0], w.Shape[1], w.Shape[0]
		if a.Rank() < 1 || a.Shape[a.Rank()-1] != k {
			return nil, errFallback
		}
		out, y := f.floats(append(a.Shape[:a.Rank()-1:a.Rank()-1], n)...)
		if len(y) > 0 {
			g := kernel.Gemm{Groups: 1, Rows: len(y) / n, N: n, K: k, A: a.Float32s(), Lda: k, B: m.packed, C: y, Ldc: n, Ldr: n, Bias: m.bias}
			f.gemm(&g)
		}
		return f.one(out)
	}
	return f
}

package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// isNBits is the one operator of another domain that has a fast path.
func isNBits(n *graph.Node) bool { return n.Domain == "com.microsoft" && n.Op == "MatMulNBits" }

// matchNBits is a product with weights in blocks of a few bits, which are
// unpacked once.
func matchNBits(l *lowerer, n *graph.Node) *lowered {
	if !isNBits(n) || l.float32Rank(n.In(0)) < 2 {
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
	w, err := r.NBitsWeight(n, &op.Env{MaxBytes: l.s.maxBytes()}, in)
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
	return &lowered{in: n.Inputs()[:1], out: n.Outputs(),
		prepare: func() error {
			m.pack(w)
			m.of = w
			return nil
		},
		run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) { return m.run(f, []tensor.Value{in[0], w}) },
	}
}

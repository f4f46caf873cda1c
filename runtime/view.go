package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// matchView covers operators whose result is their first input in another
// shape. Their evaluations copy no elements.
func matchView(l *lowerer, n *graph.Node) *lowered {
	r, err := l.resolve(n)
	if err != nil || r.Eval == nil || !n.Is("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity") || !l.tensorsOnly(n) {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		f.reads(1)
		return r.Run(n, &f.env, in)
	}}
}

// matchExpand covers Expand.
func matchExpand(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("Expand") {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := wholeBytes(in[:1])
		to, ok2 := in[1].(*tensor.Tensor)
		if !ok || !ok2 || to.Type != tensor.Int64 || to.Rank() != 1 {
			return nil, errFallback
		}
		f.reads(1)
		var want []int
		for _, d := range tensor.View[int64](to) {
			if d < 0 || d > int64(f.s.maxBytes()) {
				return nil, errFallback
			}
			want = append(want, int(d))
		}
		shape, err := tensor.Broadcast(x[0].Shape, want)
		if err != nil {
			return nil, errFallback
		}
		out := f.new(x[0].Type, shape...)
		f.move(out.Bytes(), x[0].Bytes(), x[0].Type.Bits()/8, shape, tensor.Strides(shape), broadcastStrides(x[0].Shape, len(shape)))
		return f.one(out)
	}}
}

package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// matchPad covers Pad with a constant, in either layout, for every type of
// whole bytes.
func matchPad(l *lowerer, n *graph.Node) *lowered {
	rank := l.rankOf(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("Pad") || !ok || rank < 1 || attrs.Since < 11 || attrs.Str("mode") != "constant" || n.In(3) != nil {
		return nil
	}
	f := &lowered{in: n.Inputs(), out: n.Outputs()}
	if l.float32Rank(n.In(0)) == rank {
		keepLayout(f)
	}
	f.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		p, ok2 := in[1].(*tensor.Tensor)
		if !ok || !ok2 || x.Type == tensor.String || x.Type.Bits() < 8 || x.Rank() != rank || p.Type != tensor.Int64 || p.Len() != 2*rank || x.Len() == 0 {
			return nil, errFallback
		}
		size := x.Type.Bits() / 8
		fill := make([]byte, size)
		if len(in) > 2 && in[2] != nil {
			v, ok := in[2].(*tensor.Tensor)
			if !ok || v.Type != x.Type || v.Len() != 1 {
				return nil, errFallback
			}
			copy(fill, v.Bytes())
		}
		for i := 1; i < len(in); i++ {
			fr.reads(i)
		}
		pads := p.Ints()
		shape, first := slices.Clone(x.Shape), make([]int, rank)
		for i := range rank {
			before, after := pads[i], pads[rank+i]
			if before < 0 || after < 0 || before > int64(fr.s.maxBytes()) || after > int64(fr.s.maxBytes()) {
				return nil, errFallback
			}
			axis := i
			if f.outLast > 0 {
				axis = lastAxis(i, rank)
			}
			first[axis] = int(before)
			shape[axis] += int(before + after)
		}
		out := fr.new(x.Type, shape...)
		b, strides, at := out.Bytes(), tensor.Strides(shape), 0
		fr.do(1, func(_, _ int) {
			copy(b, fill)
			for done := size; done < len(b); done *= 2 {
				copy(b[done:], b[:done])
			}
		})
		for i, s := range strides {
			at += first[i] * s
		}
		fr.move(b[at*size:], x.Bytes(), size, x.Shape, strides, tensor.Strides(x.Shape))
		return fr.one(out)
	}
	return f
}

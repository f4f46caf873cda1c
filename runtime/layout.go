package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// A tensor of rank 3 to 5 can be held channels last: axes N, D..., C instead
// of N, C, D.... Convolutions work on that layout, and what only passes
// values on keeps it; conversions are steps of their own, at the edges.

// lastSlot is where a value is held channels last, and its rank.
type lastSlot struct{ slot, rank int }

// slotFor is the slot of v as it is.
func (b *builder) slotFor(v *graph.Value) int {
	if v == nil {
		return -1
	}
	if i, ok := b.slot[v]; ok {
		return i
	}
	i := b.newSlot()
	b.slot[v] = i
	if v.Graph() != b.graph {
		b.captures = append(b.captures, capture{v, i})
	}
	return i
}

func (b *builder) newSlot() int {
	b.slots++
	return b.slots - 1
}

// plain is slotFor, after a conversion if v is there only channels last.
func (b *builder) plain(v *graph.Value) int {
	at, ok := b.last[v]
	if _, is := b.slot[v]; v == nil || is || !ok {
		return b.slotFor(v)
	}
	st := step{node: v.Def(), path: "layout", replay: &replay{}, ins: []int{at.slot}, outs: []int{b.slotFor(v)}}
	st.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		return f.one(toPlain(f, in[0].(*tensor.Tensor)))
	}
	seen := []*graph.Value{v}
	if b.l.s.opts.Glance { // before, as it was computed
		seen = nil
	}
	b.add(st, seen)
	return st.outs[0]
}

// channelsLast is the slot of v in that layout, converted if need be. A value
// of lower rank is taken to have leading axes of size 1.
func (b *builder) channelsLast(v *graph.Value, rank int) int {
	if at, ok := b.last[v]; ok {
		return at.slot
	}
	if c := b.l.constant(v); c != nil {
		slot := b.newLast(v, rank)
		b.consts = append(b.consts, binding{slot, toLast(nil, c, rank)})
		return slot
	}
	from := b.slotFor(v)
	slot := b.newLast(v, rank)
	node := v.Def()
	b.add(step{node: node, path: "layout", replay: &replay{}, ins: []int{from}, outs: []int{slot},
		run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
			t, ok := in[0].(*tensor.Tensor)
			if !ok || t.Rank() > rank || t.Type.Bits() < 8 {
				return nil, errLayout
			}
			return f.one(toLast(f, t, rank))
		}}, nil)
	return slot
}

// newLast is a new slot for v held channels last.
func (b *builder) newLast(v *graph.Value, rank int) int {
	slot := b.newSlot()
	b.last[v] = lastSlot{slot, rank}
	return slot
}

// isLast reports that v is there channels last, and its rank.
func (b *builder) isLast(v *graph.Value) (int, bool) {
	at, ok := b.last[v]
	return at.rank, ok
}

// lastAxis is where axis i of a value of some rank is, channels last.
func lastAxis(i, rank int) int {
	switch i {
	case 0:
		return 0
	case 1:
		return rank - 1
	}
	return i - 1
}

// toLast converts t to channels last. f can be nil.
func toLast(f *frame, t *tensor.Tensor, rank int) *tensor.Tensor {
	shape := t.Shape
	for len(shape) < rank {
		shape = append([]int{1}, shape...)
	}
	out := append(append([]int{shape[0]}, shape[2:]...), shape[1])
	return transposed(f, t, out, shape[0], shape[1], volume(shape[2:]))
}

// toPlain is the opposite of toLast.
func toPlain(f *frame, t *tensor.Tensor) *tensor.Tensor {
	last := t.Rank() - 1
	out := append([]int{t.Shape[0], t.Shape[last]}, t.Shape[1:last]...)
	return transposed(f, t, out, t.Shape[0], volume(t.Shape[1:last]), t.Shape[last])
}

// transposed swaps the two inner axes of [n, rows, cols].
func transposed(f *frame, t *tensor.Tensor, shape []int, n, rows, cols int) *tensor.Tensor {
	if rows == 1 || cols == 1 {
		return t.Reshaped(shape...)
	}
	out := f.new(t.Type, shape...)
	w := t.Type.Bits() / 8
	size := rows * cols * w
	f.do(n, func(_, i int) {
		src, dst := t.Bytes()[i*size:(i+1)*size], out.Bytes()[i*size:(i+1)*size]
		kernel.Transpose(dst, src, rows, cols, w)
	})
	return out
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

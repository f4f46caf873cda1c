package runtime

import (
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// einsum is an Einsum of two operands as a product of matrices: an index in both operands
// and the result counts the matrices, one in both operands alone is summed, one
// in an operand and the result is a row or a column.
type einsum struct {
	x, y, out                  string // a letter for each axis
	batch, rows, columns, sums string
	product                    matrix
}

func matchEinsum(l *lowerer, n *graph.Node) *lowered {
	attrs, ok := l.attrs(n)
	if !n.Is("Einsum") || !ok || len(n.Inputs()) != 2 {
		return nil
	}
	e := newEinsum(attrs.Str("equation"))
	if e == nil || l.float32Rank(n.In(0)) != len(e.x) || l.float32Rank(n.In(1)) != len(e.y) {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), nodes: []*graph.Node{n}, run: e.run}
}

// newEinsum reads an equation; nil if it is of another kind.
func newEinsum(equation string) *einsum {
	in, out, ok := strings.Cut(strings.ReplaceAll(equation, " ", ""), "->")
	x, y, ok2 := strings.Cut(in, ",")
	if !ok || !ok2 {
		return nil
	}
	e := &einsum{x: x, y: y, out: out, product: matrix{alpha: 1}}
	for _, term := range []string{x, y, out} {
		for i, c := range term {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') || strings.ContainsRune(term[:i], c) {
				return nil
			}
		}
	}
	for _, c := range x {
		switch inY, inOut := strings.ContainsRune(y, c), strings.ContainsRune(out, c); {
		case inY && inOut:
			e.batch += string(c)
		case inY:
			e.sums += string(c)
		case inOut:
			e.rows += string(c)
		default:
			return nil
		}
	}
	for _, c := range y {
		if strings.ContainsRune(x, c) {
			continue
		}
		if !strings.ContainsRune(out, c) {
			return nil
		}
		e.columns += string(c)
	}
	if e.sums == "" || len(out) != len(e.batch)+len(e.rows)+len(e.columns) {
		return nil
	}
	return e
}

func (e *einsum) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	t, ok := float32In(in)
	if !ok || t[0].Rank() != len(e.x) || t[1].Rank() != len(e.y) || t[0].Len() == 0 || t[1].Len() == 0 {
		return nil, errFallback
	}
	size := map[rune]int{}
	for i, c := range e.x {
		size[c] = t[0].Shape[i]
	}
	for i, c := range e.y {
		if n, ok := size[c]; ok && n != t[1].Shape[i] {
			return nil, errFallback
		}
		size[c] = t[1].Shape[i]
	}
	sizes := func(letters string) (shape []int) {
		for _, c := range letters {
			shape = append(shape, size[c])
		}
		return shape
	}
	batch, rows, columns, sums := sizes(e.batch), volume(sizes(e.rows)), volume(sizes(e.columns)), volume(sizes(e.sums))
	a := f.arranged(t[0], e.x, e.batch+e.rows+e.sums).Reshaped(append(sizes(e.batch), rows, sums)...)
	b := f.arranged(t[1], e.y, e.batch+e.sums+e.columns).Reshaped(append(batch, sums, columns)...)
	y, err := e.product.run(f, []tensor.Value{a, b})
	if err != nil {
		return nil, err
	}
	order := e.batch + e.rows + e.columns
	return f.one(f.arranged(y[0].(*tensor.Tensor).Reshaped(sizes(order)...), order, e.out))
}

// arranged is t, whose axes are named by from, with its axes in the order to.
func (f *frame) arranged(t *tensor.Tensor, from, to string) *tensor.Tensor {
	if from == to {
		return t
	}
	shape, strides, old := make([]int, len(to)), make([]int, len(to)), tensor.Strides(t.Shape)
	for i := range to {
		k := strings.IndexByte(from, to[i])
		shape[i], strides[i] = t.Shape[k], old[k]
	}
	out := f.new(t.Type, shape...)
	f.move(out.Bytes(), t.Bytes(), t.Type.Bits()/8, shape, tensor.Strides(shape), strides)
	return out
}

package encode

import (
	"slices"

	"onnxopt/onnx/graph"
)

// elements is all elements of a group of tables in a row: an index into the
// codebook of its tensor each, -1 for zero.
type elements struct {
	index []int
	ones  int // that are not zero
	most  int // values in the largest codebook
}

// zero is the index that codebooks hold 0 at.
func (x *elements) zero() int { return x.most }

func elementsOf(group []*table) *elements {
	x := &elements{}
	for _, t := range group {
		x.index = append(x.index, t.index...)
		x.ones += len(t.index) - t.zeros
		x.most = max(x.most, len(t.book))
	}
	return x
}

// form is one way to write elements as bits, and to decode them.
type form interface {
	// cost is the bits of the string and, about, of the decoder.
	cost() int
	// decode computes the index of every element: int32, flat, with some more
	// elements before and after.
	decode(e *emitter) (flat *graph.Value, before, after int)
	String() string
}

// shortest is the form of least cost.
func shortest(x *elements) form {
	var best form = newDense(x)
	for _, f := range slices.Concat(blockForms(x), eliasFanoForms(x)) {
		if f.cost() < best.cost() {
			best = f
		}
	}
	return best
}

// dense is an index for every element.
type dense struct {
	x     *elements
	width int
}

func newDense(x *elements) dense {
	return dense{x, bitsFor(x.most + min(len(x.index)-x.ones, 1))}
}

func (f dense) cost() int { return f.width * len(f.x.index) }

func (f dense) String() string { return "an index for each element" }

func (f dense) decode(e *emitter) (*graph.Value, int, int) {
	all := make([]int, len(f.x.index))
	for i, k := range f.x.index {
		if all[i] = k; k < 0 {
			all[i] = f.x.zero()
		}
	}
	after := 0
	for ; f.width*len(all)%8 != 0; after++ {
		all = append(all, 0)
	}
	bits := e.add("Cast", e.bits(numbers(nil, all, f.width)), graph.Int("to", floatType))
	return e.flat(e.number(bits, f.width)), 0, after
}

// numbers appends numbers of a width, low bits first.
func numbers(bits []bool, v []int, width int) []bool {
	for _, k := range v {
		for i := range width {
			bits = append(bits, k>>i&1 == 1)
		}
	}
	return bits
}

// bits unpacks a string of whole bytes: int32, eight in a row.
func (e *emitter) bits(all []bool) *graph.Value {
	packed := make([]uint8, len(all)/8)
	for i, b := range all {
		if b {
			packed[i/8] |= 1 << (i % 8)
		}
	}
	bytes := e.add("Cast", e.bytes(packed), graph.Int("to", int32Type))
	return e.add("Mod", e.add("Div", bytes, e.int32s(1, 2, 4, 8, 16, 32, 64, 128)), e.int32s(2))
}

// flatBits is the bits as float, in a row.
func (e *emitter) flatBits(all []bool) *graph.Value {
	return e.add("Cast", e.flat(e.bits(all)), graph.Int("to", floatType))
}

func (e *emitter) flat(v *graph.Value) *graph.Value { return e.add("Reshape", v, e.ints(-1)) }

// float reads numbers of some bits: a column.
func (e *emitter) float(bits *graph.Value, width int) *graph.Value {
	powers := make([]float32, width)
	for i := range powers {
		powers[i] = float32(int(1) << i)
	}
	return e.add("MatMul", e.add("Reshape", bits, e.ints(-1, width)), e.column(powers))
}

// number is float as int32.
func (e *emitter) number(bits *graph.Value, width int) *graph.Value {
	return e.add("Cast", e.float(bits, width), graph.Int("to", int32Type))
}

// tables writes the decoder of a group and gives every tensor its place in it.
func (e *emitter) tables(group []*table) {
	if len(group) == 0 || !e.c.Allow() {
		return
	}
	x := elementsOf(group)
	f := shortest(x)
	flat, before, after := f.decode(e)
	var sizes []int
	if before > 0 {
		sizes = append(sizes, before)
	}
	first := len(sizes)
	for _, t := range group {
		sizes = append(sizes, len(t.index))
	}
	if after > 0 {
		sizes = append(sizes, after)
	}
	parts := e.split(flat, sizes)[first:]
	for i, t := range group {
		book := make([]float32, x.most+1)
		copy(book, t.book)
		index := parts[i]
		if shape := t.v.Const().Shape; len(shape) != 1 {
			index = e.add("Reshape", index, e.ints(shape...))
		}
		e.replace(t.v, e.add("Gather", e.floats(book), index), "%d values, %d of %d elements, %v", len(t.book), len(t.index)-t.zeros, len(t.index), f)
	}
}

package encode

import (
	"slices"

	"onnxopt/onnx/graph"
)

// bitString is a group of tables as bits: rows of the blocks that are not
// empty, then one bit for each block, then the indices. With blocks of one
// element only the bits of the elements stand before the indices; with blocks
// of none every element has an index.
//
// The first row is empty: blocks without a bit fetch it. The last row holds a
// single one that nothing fetches: its number, modulo itself, makes the blocks
// count from one again.
type bitString struct {
	block  int  // elements
	width  int  // bits of an index
	marker int  // the index that means zero
	inline bool // the marker fits the width: it is the first index
	rows   []bool
	blocks []bool
	flat   []bool
	index  []int
	ones   int // in rows, without the last
}

// blockSizes are tried for the shortest string.
var blockSizes = []int{1, 4, 8, 16, 32, 64}

// newBitString is the shortest string for a group.
func newBitString(group []*table) *bitString {
	s := &bitString{}
	var flags []bool
	most := 0
	for _, x := range group {
		most = max(most, len(x.book))
		for _, k := range x.index {
			flags = append(flags, k >= 0)
			if k >= 0 {
				s.index = append(s.index, k)
			}
		}
	}
	s.width, s.marker, s.ones = bitsFor(most), most, len(s.index)
	best := -1
	for _, b := range blockSizes {
		if n := blockCost(flags, b) + s.width*s.ones; best < 0 || n < best {
			best, s.block = n, b
		}
	}
	if s.width = bitsFor(most + min(len(flags)-s.ones, 1)); s.width*len(flags) <= best+denseSaves {
		s.block = 0
		s.index = s.index[:0]
		for _, x := range group {
			for _, k := range x.index {
				if k < 0 {
					k = s.marker
				}
				s.index = append(s.index, k)
			}
		}
		s.padDense()
		return s
	}
	s.width = bitsFor(most)
	if s.inline = most < 1<<s.width; s.inline {
		s.index = slices.Insert(s.index, 0, s.marker)
	}
	if s.block == 1 {
		s.flat = flags
	} else {
		s.cut(flags)
	}
	s.pad()
	return s
}

// blockOverhead is about what blocks add to the decoder, denseSaves what it
// takes less with an index for each element, in bits.
const (
	blockOverhead = 8 * 150
	denseSaves    = 8 * 120
)

func blockCost(flags []bool, b int) int {
	if b == 1 {
		return len(flags)
	}
	n := (len(flags)+b-1)/b + 2*b + blockOverhead
	for at := 0; at < len(flags); at += b {
		if slices.Contains(flags[at:min(at+b, len(flags))], true) {
			n += b
		}
	}
	return n
}

// cut splits flags into blocks.
func (s *bitString) cut(flags []bool) {
	s.rows = make([]bool, s.block)
	for at := 0; at < len(flags); at += s.block {
		row := make([]bool, s.block)
		copy(row, flags[at:min(at+s.block, len(flags))])
		s.blocks = append(s.blocks, slices.Contains(row, true))
		if slices.Contains(row, true) {
			s.rows = append(s.rows, row...)
		}
	}
	last := make([]bool, s.block)
	last[0] = true
	s.rows = append(s.rows, last...)
}

// pad adds empty elements or blocks until the string fills its last byte.
func (s *bitString) pad() {
	n := len(s.rows) + len(s.blocks) + len(s.flat) + s.width*len(s.index)
	more := make([]bool, -n&7)
	if s.block == 1 {
		s.flat = append(s.flat, more...)
	} else {
		s.blocks = append(s.blocks, more...)
	}
}

// padDense adds elements until the string fills its last byte.
func (s *bitString) padDense() {
	for s.width*len(s.index)%8 != 0 {
		s.index = append(s.index, 0)
	}
}

// elements is how many the string expands to.
func (s *bitString) elements() int {
	if s.block == 0 {
		return len(s.index)
	}
	return len(s.flat) + s.block*len(s.blocks)
}

// bytes is the string, low bits first.
func (s *bitString) bytes() []uint8 {
	all := slices.Concat(s.rows, s.blocks, s.flat)
	for _, k := range s.index {
		for i := range s.width {
			all = append(all, k>>i&1 == 1)
		}
	}
	out := make([]uint8, len(all)/8)
	for i, b := range all {
		if b {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

// tables writes the decoder of a group and gives every tensor its place in it.
func (e *emitter) tables(group []*table) {
	if len(group) == 0 || !e.c.Allow() {
		return
	}
	s := newBitString(group)
	flat := e.elements(s)
	sizes := make([]int, len(group))
	left := s.elements()
	for i, x := range group {
		sizes[i] = len(x.index)
		left -= sizes[i]
	}
	if left > 0 {
		sizes = append(sizes, left)
	}
	parts := e.split(flat, sizes)
	for i, x := range group {
		book := make([]float32, s.marker+1)
		copy(book, x.book)
		shape := x.v.Const().Shape
		index := parts[i]
		if len(shape) != 1 {
			index = e.add("Reshape", index, e.ints(shape...))
		}
		e.replace(x.v, e.add("Gather", e.floats(book), index), "%d values, %d of %d elements, blocks of %d", len(x.book), len(x.index)-x.zeros, len(x.index), s.block)
	}
}

// elements computes the codebook index of every element: int32, flat.
func (e *emitter) elements(s *bitString) *graph.Value {
	bits := e.add("Cast", e.bytes(s.bytes()), graph.Int("to", int32Type))
	bits = e.add("Div", bits, e.int32s(1, 2, 4, 8, 16, 32, 64, 128))
	bits = e.add("Mod", bits, e.int32s(2))
	bits = e.add("Cast", bits, graph.Int("to", floatType))
	if s.block == 0 {
		return e.add("Reshape", e.indices(s, bits), e.ints(-1))
	}
	parts := e.split(e.add("Reshape", bits, e.ints(-1)), []int{len(s.rows) + len(s.blocks) + len(s.flat), s.width * len(s.index)})
	// The number of each one among the ones, from 1; zeros stay zero.
	number := e.add("Mul", parts[0], e.add("CumSum", parts[0], e.axis()))
	number = e.add("Cast", number, graph.Int("to", int32Type))
	index := e.indices(s, parts[1])
	if !s.inline {
		index = e.add("Concat", e.int32Column(s.marker), index, graph.Int("axis", 0))
	}
	if s.block == 1 {
		return e.add("Reshape", e.add("Gather", index, number), e.ints(-1))
	}
	return e.place(s, index, number)
}

// indices computes the indices from their bits: int32, a column.
func (e *emitter) indices(s *bitString, bits *graph.Value) *graph.Value {
	powers := make([]float32, s.width)
	for i := range powers {
		powers[i] = float32(int(1) << i)
	}
	index := e.add("MatMul", e.add("Reshape", bits, e.ints(-1, s.width)), e.column(powers))
	return e.add("Cast", index, graph.Int("to", int32Type))
}

// place fetches the indices for the elements of the rows, and the rows for the
// blocks.
func (e *emitter) place(s *bitString, index, number *graph.Value) *graph.Value {
	number = e.add("Mod", number, e.int32s(s.ones+1))
	parts := e.split(number, []int{len(s.rows), len(s.blocks)})
	rows := e.add("Gather", index, e.add("Reshape", parts[0], e.ints(-1, s.block)))
	return e.add("Reshape", e.add("Gather", rows, parts[1]), e.ints(-1))
}

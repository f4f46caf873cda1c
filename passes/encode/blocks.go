package encode

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
)

// blocks is a bit for each block of elements that is not all zero, a bit for
// each element of those blocks, and an index for each element that is not zero.
// With blocks of one element the first are left out.
//
// In the string the elements' bits stand first, in rows of a block. A running
// sum numbers all ones; through these numbers rows fetch indices, and blocks
// fetch rows. The first row is empty: blocks of zeros fetch it. The last row
// holds a single one that nothing fetches: modulo its number, the ones of the
// blocks count from one again.
type blocks struct {
	x      *elements
	size   int
	width  int
	inline bool // the index of zero fits the width, so it is the first index
	full   int  // blocks that are not all zero
}

func blockForms(x *elements) []form {
	var out []form
	for _, size := range []int{1, 4, 8, 16, 32, 64} {
		f := blocks{x: x, size: size, width: bitsFor(x.most)}
		f.inline = x.most < 1<<f.width
		for block := range slices.Chunk(x.index, size) {
			if !empty(block) {
				f.full++
			}
		}
		out = append(out, f)
	}
	return out
}

func empty(block []int) bool {
	return !slices.ContainsFunc(block, func(k int) bool { return k >= 0 })
}

func (f blocks) cost() int {
	n := len(f.x.index) + f.width*f.x.ones + 8*120
	if f.size > 1 {
		n += (f.full+2)*f.size + (len(f.x.index)+f.size-1)/f.size - len(f.x.index) + 8*150
	}
	return n
}

func (f blocks) String() string { return fmt.Sprintf("blocks of %d", f.size) }

func (f blocks) decode(e *emitter) (*graph.Value, int, int) {
	var rows, heads []bool
	var index []int
	if f.inline {
		index = append(index, f.x.zero())
	}
	if f.size > 1 {
		rows = make([]bool, f.size)
	}
	for block := range slices.Chunk(f.x.index, f.size) {
		heads = append(heads, !empty(block))
		if f.size > 1 && !empty(block) {
			row := make([]bool, f.size)
			for i, k := range block {
				row[i] = k >= 0
			}
			rows = append(rows, row...)
		}
		for _, k := range block {
			if k >= 0 {
				index = append(index, k)
			}
		}
	}
	if f.size > 1 {
		rows = append(rows, slices.Insert(make([]bool, f.size-1), 0, true)...)
	}
	for (len(rows)+len(heads)+f.width*len(index))%8 != 0 {
		heads = append(heads, false)
	}
	places := len(rows) + len(heads)
	parts := e.split(e.flatBits(numbers(slices.Concat(rows, heads), index, f.width)), []int{places, f.width * len(index)})
	// The number of each one among the ones, from 1; zeros stay zero.
	number := e.add("Mul", parts[0], e.add("CumSum", parts[0], e.axis()))
	number = e.add("Cast", number, graph.Int("to", int32Type))
	column := e.number(parts[1], f.width)
	if !f.inline {
		column = e.add("Concat", e.int32Column(f.x.zero()), column, graph.Int("axis", 0))
	}
	after := f.size*len(heads) - len(f.x.index)
	if f.size == 1 {
		return e.flat(e.add("Gather", column, number)), 0, after
	}
	number = e.add("Mod", number, e.int32s(f.x.ones+1))
	parts = e.split(number, []int{len(rows), len(heads)})
	fetched := e.add("Gather", column, e.add("Reshape", parts[0], e.ints(-1, f.size)))
	return e.flat(e.add("Gather", fetched, parts[1])), 0, after
}

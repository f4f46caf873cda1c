package encode

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// eliasFano is the places of elements that are not zero as a rising sequence
// (Elias 1974, Fano 1971), and an index for each: the low bits of every place
// as they are, the high bits in unary - a one for each element, behind as many
// zeros as its high part has grown. About 2 + log2(elements/ones) bits a place,
// which nothing undercuts by much where the places have no pattern.
//
// The decoder numbers the ones by a running sum and scatters the zeros before
// them, also a running sum, into a vector; bits that are zero write 0 to its
// place 0. Places count from 1, so element 0 collects what belongs nowhere.
type eliasFano struct {
	x     *elements
	low   int // bits
	width int
}

func eliasFanoForms(x *elements) []form {
	var out []form
	for low := 1; low <= 14; low++ {
		out = append(out, eliasFano{x, low, bitsFor(x.most)})
	}
	return out
}

func (f eliasFano) cost() int {
	return f.x.ones*(1+f.low+f.width) + len(f.x.index)>>f.low + 1 + 8*400
}

func (f eliasFano) String() string { return fmt.Sprintf("Elias-Fano places of %d low bits", f.low) }

func (f eliasFano) decode(e *emitter) (*graph.Value, int, int) {
	var high []bool
	low, index := []int{0}, []int{0}
	zeros := 0
	for i, k := range f.x.index {
		if k < 0 {
			continue
		}
		for ; zeros < (i+1)>>f.low; zeros++ {
			high = append(high, false)
		}
		high = append(high, true)
		low = append(low, (i+1)&(1<<f.low-1))
		index = append(index, k)
	}
	for len(high) <= len(low) || (len(high)+(f.low+f.width)*len(low))%8 != 0 {
		high = append(high, false)
	}
	bits := numbers(numbers(high, low, f.low), index, f.width)
	parts := e.split(e.flatBits(bits), []int{len(high), f.low * len(low), f.width * len(low)})
	ones := parts[0]
	slot := e.add("Cast", e.add("Mul", ones, e.add("CumSum", ones, e.axis())), graph.Int("to", int32Type))
	before := e.add("Mul", ones, e.add("CumSum", e.add("Sub", e.float32(1), ones), e.axis()))
	// OpenCV scatters only into what is at least as long as the indices.
	highs := e.add("ScatterElements", e.filled(tensor.Vector[float32](0), len(high)), slot, before)
	highs = e.split(highs, []int{len(low), len(high) - len(low)})[0]
	place := e.add("Add", e.add("Mul", highs, e.float32(float32(int(1)<<f.low))), e.flat(e.float(parts[1], f.low)))
	place = e.add("Cast", place, graph.Int("to", int32Type))
	codes := e.flat(e.number(parts[2], f.width))
	empty := e.filled(tensor.Vector(int32(f.x.zero())), len(f.x.index)+1)
	return e.add("ScatterElements", empty, place, codes), 1, 0
}

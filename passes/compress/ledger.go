package compress

import (
	"container/heap"
	"math"
	"math/bits"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Line is one tensor of the ledger of Deep Compression (table 4 and on of Han,
// Mao, Dally, 2016): what each stage takes, in bytes, every overhead counted.
type Line struct {
	Name    string  `json:"name"`
	Shape   []int   `json:"shape"`
	Weights int     `json:"weights"`
	Kept    int     `json:"kept"`
	Values  int     `json:"values"`        // different ones beside zero
	Weight  int     `json:"weight_bits"`   // of an entry's code
	Index   int     `json:"index_bits"`    // of a gap between kept weights
	Coded   float64 `json:"huffman_bits"`  // of an entry's code after Huffman coding, mean
	Gap     float64 `json:"gap_bits"`      // of a gap after Huffman coding, mean
	Float   int     `json:"float_bytes"`   // as it was
	Pruned  int     `json:"pruned_bytes"`  // kept weights of 32 bits, gaps
	Shared  int     `json:"shared_bytes"`  // codes, gaps, codebook
	Huffman int     `json:"huffman_bytes"` // Huffman codes with their tables, codebook
}

// Ledger is the lines of all float32 initializers of m, and their sum. What a
// tensor was is what the original has under its name; a tensor that the
// original lacks counts as it is.
func Ledger(m, original *graph.Model) (lines []Line, sum Line) {
	sum.Name = "total"
	before := map[string]*graph.Value{}
	for v := range original.Graph.Initializers() {
		before[v.Name] = v
	}
	for v := range m.Graph.Initializers() {
		t := v.Const()
		if t == nil || t.Type != tensor.Float32 {
			continue
		}
		l := line(v.Name, t)
		if b := before[v.Name]; b != nil && b.Const() != nil {
			l.Shape, l.Weights, l.Float = b.Const().Shape, b.Const().Len(), 4*b.Const().Len()
		}
		lines = append(lines, l)
		sum.Weights += l.Weights
		sum.Kept += l.Kept
		sum.Float += l.Float
		sum.Pruned += l.Pruned
		sum.Shared += l.Shared
		sum.Huffman += l.Huffman
	}
	return lines, sum
}

func line(name string, t *tensor.Tensor) Line {
	l := Line{Name: name, Shape: t.Shape, Weights: t.Len(), Float: 4 * t.Len()}
	counts := map[float32]int{}
	var at []int
	for i, x := range t.Float32s() {
		if x != 0 {
			counts[x]++
			at = append(at, i)
		}
	}
	l.Kept, l.Values = len(at), len(counts)
	if l.Kept == 0 {
		return l
	}
	l.Weight = bits.Len(uint(l.Values - 1))
	if 2*l.Kept > l.Weights { // dense: zeros are values, gaps cost more
		if zeros := l.Weights - l.Kept; zeros > 0 {
			counts[0] = zeros
			l.Weight = bits.Len(uint(l.Values))
		}
		codes, table := huffman(counts)
		l.Coded = float64(codes) / float64(l.Weights)
		l.Pruned = l.Float
		l.Shared = min(l.Float, bytesOf(l.Weights*l.Weight)+4*l.Values)
		l.Huffman = min(l.Shared, bytesOf(codes+table)+4*l.Values)
		return l
	}
	l.Shared = math.MaxInt
	for width := 2; width <= 10; width++ {
		gaps, fillers := gapsOf(at, width)
		n := l.Kept + fillers
		indexBits := n * width
		if shared := bytesOf(n*l.Weight+indexBits) + 4*l.Values; shared < l.Shared {
			l.Shared, l.Index = shared, width
			l.Pruned = bytesOf(32*n + indexBits)
		}
		if fillers > 0 {
			counts[0] = fillers
		} else {
			delete(counts, 0)
		}
		codes, table := huffman(counts)
		gapCodes, gapTable := huffman(gaps)
		if total := bytesOf(codes+table+gapCodes+gapTable) + 4*l.Values; l.Huffman == 0 || total < l.Huffman {
			l.Huffman, l.Coded, l.Gap = total, float64(codes)/float64(n), float64(gapCodes)/float64(n)
		}
	}
	return l
}

func bytesOf(bits int) int { return (bits + 7) / 8 }

// gapsOf counts the zeros before each kept weight as codes of width bits; a
// gap that does not fit is broken by weights of value zero (section 2, figure
// 2).
func gapsOf(at []int, width int) (counts map[int]int, fillers int) {
	counts = map[int]int{}
	most := 1<<width - 1
	last := -1
	for _, i := range at {
		gap := i - last - 1
		for gap > most {
			counts[most]++
			fillers++
			gap -= most + 1
		}
		counts[gap]++
		last = i
	}
	return counts, fillers
}

// huffman is the bits of a Huffman code for the counted symbols, and those of
// its table: 5 bits for the length of each code.
func huffman[K comparable](counts map[K]int) (code, table int) {
	h := make(heapOf, 0, len(counts))
	for _, n := range counts {
		h = append(h, n)
	}
	table = 5 * len(h)
	if len(h) == 1 {
		return h[0], table
	}
	heap.Init(&h)
	for len(h) > 1 {
		a := heap.Pop(&h).(int)
		b := heap.Pop(&h).(int)
		code += a + b
		heap.Push(&h, a+b)
	}
	return code, table
}

type heapOf []int

func (h heapOf) Len() int           { return len(h) }
func (h heapOf) Less(i, j int) bool { return h[i] < h[j] }
func (h heapOf) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heapOf) Push(x any)        { *h = append(*h, x.(int)) }
func (h *heapOf) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

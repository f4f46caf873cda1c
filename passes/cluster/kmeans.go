// Package cluster holds the passes that share weights.
package cluster

import (
	"math"
	"math/rand/v2"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// KMeans replaces each weight by the nearest of a few shared values (Han et
// al. 2016, arXiv 1510.00149, section 3) and stores it as a uint8 index tensor
// and a float codebook joined by Gather, which loaders fold.
var KMeans = pass.Pass{
	Name:   "cluster-weights",
	Doc:    "share weights by k-means: uint8 indices and a codebook joined by Gather",
	Effect: pass.Lossy,
	Run:    kmeans,
}

// DefaultValues is the size of a codebook.
const DefaultValues = 64

// indexOpset is the first opset whose Cast and Gather take what is written.
const indexOpset = 9

func kmeans(c *pass.Context, m *graph.Model) error {
	k := c.Settings.Cluster.Values
	if k == 0 {
		k = DefaultValues
	}
	k = min(max(k, 2), 256)
	done := map[*graph.Value]bool{}
	for n := range m.Graph.All() {
		r, err := op.Resolve(n, m.Opset)
		if err != nil || r.Quant.Kind != op.QuantInteger || r.Quant.Weight == 0 {
			continue
		}
		w := n.In(r.Quant.Weight)
		t := w.Const()
		switch {
		case w == nil || done[w]:
			continue
		case t == nil || t.Type != tensor.Float32:
			c.Kept(n, "its weight is not a constant float32 initializer")
			continue
		case m.Opset("") < indexOpset:
			c.Kept(n, "opset %d is below %d", m.Opset(""), indexOpset)
			continue
		}
		index, book, err2 := Codebook(t.Float32s(), k)
		if saved := len(t.Bytes()) - t.Len() - 4*len(book); saved < 512 {
			c.Kept(n, "%d weights are too few to gain by sharing", t.Len())
			continue
		}
		if !c.Allow() {
			return nil
		}
		done[w] = true
		write(w, n, t.Shape, index, book)
		c.Changed(n, "%d weights of %s share %d values, SQNR %.1f dB", t.Len(), w.Name, len(book), err2)
	}
	return nil
}

// write puts Gather(codebook, Cast(indices)) in the place of w.
func write(w *graph.Value, first *graph.Node, shape []int, index []uint8, book []float32) {
	g := first.Graph()
	at := first
	for n := range g.Nodes() { // before every reader
		at = n
		break
	}
	codes := g.AddInitializer(w.Name+"_index", &graph.Data{Tensor: tensor.Of(shape, index)})
	values := g.AddInitializer(w.Name+"_codebook", &graph.Data{Tensor: tensor.Of([]int{len(book)}, book)})
	wide := g.Add(at, "Cast", w.Name+"_index32", []*graph.Value{codes}, graph.Int("to", int64(tensor.Int32)))
	w.ReplaceNodeUses(g.Add(at, "Gather", w.Name+"_shared", []*graph.Value{values, wide}))
}

// Codebook is at most k values for v, one of them 0 where v has zeros, the
// index of each element's value, and the SQNR in dB. Lloyd's algorithm starts
// from linearly spaced values, the best start in the paper's section 3.2.
func Codebook(v []float32, k int) (index []uint8, book []float32, sqnr float64) {
	sorted := slices.Clone(v)
	slices.Sort(sorted)
	zero := slices.Contains(v, 0)
	if unique := slices.Compact(slices.Clone(sorted)); len(unique) <= k {
		book = unique
	} else {
		book = lloyd(sorted, start(sorted, k, Linear, 0), zero)
	}
	index = make([]uint8, len(v))
	var signal, noise float64
	for i, x := range v {
		j := nearest(book, x)
		index[i] = uint8(j)
		signal += float64(x) * float64(x)
		noise += float64(x-book[j]) * float64(x-book[j])
	}
	return index, book, 10 * math.Log10(signal/max(noise, 1e-30))
}

// start is the first k centres of sorted values, in order.
func start(sorted []float32, k int, init Init, seed uint64) []float32 {
	book := make([]float32, k)
	rng := rand.New(rand.NewPCG(seed, 0xb00c))
	lo, hi := sorted[0], sorted[len(sorted)-1]
	for i := range book {
		switch init {
		case Density:
			book[i] = sorted[(2*i+1)*len(sorted)/(2*k)]
		case Random:
			book[i] = sorted[rng.IntN(len(sorted))]
		default:
			book[i] = lo + (hi-lo)*float32(i)/float32(k-1)
		}
	}
	slices.Sort(book)
	return book
}

// lloyd is one-dimensional k-means over sorted values with prefix sums, from
// book, which it changes; keep zero fixes one centre at 0, so that pruned
// weights stay exactly zero.
func lloyd(sorted, book []float32, zero bool) []float32 {
	k := len(book)
	sums := make([]float64, len(sorted)+1)
	for i, x := range sorted {
		sums[i+1] = sums[i] + float64(x)
	}
	for range 50 {
		pin := -1
		if zero {
			pin = nearest(book, 0)
			book[pin] = 0
		}
		moved, from := false, 0
		for i := range book {
			to := len(sorted)
			if i+1 < k {
				edge := book[i]/2 + book[i+1]/2
				to, _ = slices.BinarySearch(sorted, edge)
				to = max(to, from)
			}
			if to > from && i != pin {
				c := float32((sums[to] - sums[from]) / float64(to-from))
				moved = moved || c != book[i]
				book[i] = c
			}
			from = to
		}
		slices.Sort(book)
		if !moved {
			break
		}
	}
	return slices.Compact(book)
}

// nearest is the index of the value of a sorted book closest to x.
func nearest(book []float32, x float32) int {
	i, _ := slices.BinarySearch(book, x)
	if i == len(book) || i > 0 && x-book[i-1] <= book[i]-x {
		i--
	}
	return i
}

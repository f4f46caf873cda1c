package cluster

import (
	"math"
	"slices"

	"onnxopt/passes/distill"
	"onnxopt/runtime/grad"
)

// Init is how the first shared values are chosen (Han, Mao, Dally, "Deep
// Compression", 2016, section 3.2).
type Init uint8

const (
	// Linear spaces them evenly over the range of the weights.
	Linear Init = iota
	// Density spaces them evenly over the weights in order.
	Density
	// Random takes weights at random.
	Random
)

// Shared trains weights that take few values. At first the value of a weight is
// the nearest entry of a codebook, gradients go straight to the latent weight
// behind it, and the codebook follows the latent weights by Lloyd steps. Later
// weights keep their entries, and an entry is trained by the sum of the
// gradients of its weights (Han et al., section 3.3). Weights that are zero
// stay zero.
type Shared struct {
	Values int  // entries of a codebook beside zero; 0 is 8
	Init   Init // of the first codebooks
	Lloyd  int  // steps between Lloyd steps; 0 is 100
	// GridBits rounds parameters without a codebook to multiples of a power of
	// two, each tensor of the smallest one that leaves signed codes of so many
	// bits; 0 leaves them alone.
	GridBits int
	Freeze   float64 // share of the steps after which weights keep their entries; 0 is 0.5

	Books [][]float32 // by parameter; nil without one
	kept  [][]int32   // the weights that are not zero
	entry [][]float32 // of each kept weight, once they stay
	adam  grad.Adam   // of Books, once they are trained
}

// State is what a snapshot of the training must keep; its elements may be
// written to restore it.
func (s *Shared) State() [][]float32 { return slices.Concat(s.Books, s.entry, s.adam.M, s.adam.V) }

// Start clusters the parameters that shared names, and rounds the others.
func (s *Shared) Start(t *distill.Trainer, shared func(i int) bool) {
	if s.Values == 0 {
		s.Values = 8
	}
	if s.Lloyd == 0 {
		s.Lloyd = 100
	}
	if s.Freeze == 0 {
		s.Freeze = 0.5
	}
	n := len(t.Program.Params)
	s.Books, s.kept, s.entry = make([][]float32, n), make([][]int32, n), make([][]float32, n)
	sizes := make([]int, n)
	for i, q := range t.Program.Params {
		if !shared(i) {
			if s.GridBits > 0 {
				t.Own(i)
			}
			continue
		}
		t.Own(i)
		var w []float32
		for k, x := range q.Value {
			if x != 0 {
				s.kept[i] = append(s.kept[i], int32(k))
				w = append(w, x)
			}
		}
		s.Books[i] = book(w, s.Values, s.Init, t.Seed())
		s.entry[i] = make([]float32, len(w))
		sizes[i] = len(s.Books[i])
	}
	s.adam = grad.Adam{Beta1: t.Adam.Beta1, Beta2: t.Adam.Beta2}
	s.adam.Init(sizes)
	t.Derive = s.derive
	s.Apply(t)
}

// trained is the number of steps by which entries have been trained.
func (s *Shared) trained(t *distill.Trainer) int {
	return t.Step - int(s.Freeze*float64(t.Steps()))
}

func (s *Shared) derive(t *distill.Trainer) {
	switch trained := s.trained(t); {
	case trained > 0:
		s.train(t, trained)
	case trained == 0:
		s.lloyd(t)
		s.assign(t)
	case t.Step%s.Lloyd == 0:
		s.lloyd(t)
	}
	s.Apply(t)
}

// Apply sets the values from the latent weights.
func (s *Shared) Apply(t *distill.Trainer) {
	if s.trained(t) < 0 {
		s.assign(t)
	}
	for i, q := range t.Program.Params {
		switch book := s.Books[i]; {
		case book != nil:
			for j, k := range s.kept[i] {
				q.Value[k] = book[int(s.entry[i][j])]
			}
		case s.GridBits > 0:
			grid(q.Value, t.Latent[i], s.GridBits)
		}
	}
}

// assign gives each weight the entry next to its latent weight.
func (s *Shared) assign(t *distill.Trainer) {
	for i, book := range s.Books {
		if book == nil {
			continue
		}
		edges := midpoints(book)
		for j, k := range s.kept[i] {
			s.entry[i][j] = float32(slot(edges, t.Latent[i][k]))
		}
	}
}

// train moves the entries by the gradients of their weights.
func (s *Shared) train(t *distill.Trainer, step int) {
	s.adam.Step = step - 1
	u := s.adam.Next(t.Rate())
	for i, book := range s.Books {
		if book == nil {
			continue
		}
		g := make([]float32, len(book))
		for j, k := range s.kept[i] {
			g[int(s.entry[i][j])] += t.Program.Params[i].Grad[k]
		}
		u.Apply(book, g, s.adam.M[i], s.adam.V[i])
		for j := range book {
			book[j] = nonzero(book[j])
		}
	}
}

// lloyd moves each entry to the mean of the latent weights next to it.
func (s *Shared) lloyd(t *distill.Trainer) {
	for i, book := range s.Books {
		if book == nil {
			continue
		}
		edges := midpoints(book)
		sum, n := make([]float64, len(book)), make([]int, len(book))
		for _, k := range s.kept[i] {
			j := slot(edges, t.Latent[i][k])
			sum[j] += float64(t.Latent[i][k])
			n[j]++
		}
		for j := range book {
			if n[j] > 0 {
				book[j] = nonzero(float32(sum[j] / float64(n[j])))
			}
		}
		slices.Sort(book)
	}
}

// midpoints is where the nearest entry changes.
func midpoints(book []float32) []float32 {
	out := make([]float32, len(book)-1)
	for i := range out {
		out[i] = book[i]/2 + book[i+1]/2
	}
	return out
}

// slot is the entry next to x.
func slot(edges []float32, x float32) int {
	j := 0
	for j < len(edges) && x > edges[j] {
		j++
	}
	return j
}

// nonzero keeps an entry apart from the zero of pruned weights.
func nonzero(x float32) float32 {
	if x == 0 {
		return math.SmallestNonzeroFloat32
	}
	return x
}

// grid rounds latent weights to multiples of the smallest power of two for
// which signed codes of so many bits reach the largest.
func grid(value, latent []float32, bits int) {
	top := float32(0)
	for _, x := range latent {
		top = max(top, x, -x)
	}
	codes := float64(int(1)<<(bits-1) - 1)
	if top == 0 || codes == 0 {
		clear(value)
		return
	}
	step := math.Exp2(math.Ceil(math.Log2(float64(top) / codes)))
	for k, x := range latent {
		value[k] = float32(step*math.RoundToEven(float64(x)/step)) + 0 // never -0
	}
}

// book is k-means on w with at most k values, from a chosen start.
func book(w []float32, k int, init Init, seed uint64) []float32 {
	if len(w) == 0 {
		return []float32{1}
	}
	sorted := slices.Clone(w)
	slices.Sort(sorted)
	if unique := slices.Compact(slices.Clone(sorted)); len(unique) <= k {
		return unique
	}
	out := lloyd(sorted, start(sorted, k, init, seed), false)
	for j := range out {
		out[j] = nonzero(out[j])
	}
	return out
}

// Package lattice rounds rows of weights to multiples of a step so that what
// they compute from given inputs changes least.
package lattice

import "onnxopt/runtime/kernel"

// Gram sums X'X over rows of N values, less the mean's part if it is centred:
// rows are taken relative to a pilot, the mean of the first of them, so that
// float32 loses nothing to a mean that is large beside the spread.
type Gram struct {
	N, Rows int // Rows once all are summed: after Finish
	centre  bool
	sum     []float32 // N x N, the upper triangle holds
	mean    []float64 // sum over the rows, of their distance to the pilot
	pilot   []float32 // its negative; nil for 0

	panel         []float32 // the rows not yet summed, width x n
	width, filled int
	work          *scratch
}

// scratch is what the Gram matrices of one call of NewGrams use in turn.
type scratch struct {
	turned []float32 // columns of a panel as rows
	packed []float32
}

// NewGram is an empty sum over rows of n values, which are multiplied so many
// (width) at a time. 0 is 512.
func NewGram(n, width int, centre bool) *Gram { return NewGrams(1, n, width, centre)[0] }

// NewGrams is so many (count) of them, which must not be used concurrently.
func NewGrams(count, n, width int, centre bool) []*Gram {
	if width == 0 {
		width = 512
	}
	work := &scratch{turned: make([]float32, min(n, blockRows)*width)}
	grams := make([]*Gram, count)
	for i := range grams {
		grams[i] = &Gram{N: n, centre: centre, width: width, sum: make([]float32, n*n), mean: make([]float64, n), panel: make([]float32, width*n), work: work}
	}
	return grams
}

// Room is how many rows can be taken at once now, at least one.
func (g *Gram) Room() int {
	if g.filled == g.width {
		g.flush()
	}
	return g.width - g.filled
}

// Take is where to write the next k rows, at most Room, one after the other.
func (g *Gram) Take(k int) []float32 {
	g.Room()
	at := g.filled * g.N
	g.filled += k
	return g.panel[at : at+k*g.N]
}

// flush adds the product of the panel to the sum.
func (g *Gram) flush() {
	k := g.filled
	if k == 0 {
		return
	}
	if g.centre && g.pilot == nil {
		g.pilot = make([]float32, g.N)
		g.turn(k, func(i int, x []float32) {
			for j := range len(x) / k {
				g.pilot[i+j] = -kernel.Sum(x[j*k:(j+1)*k]) / float32(k)
			}
		})
	}
	if g.pilot != nil {
		kernel.AddRows(g.panel, g.N, g.pilot, 0, k, g.N)
	}
	g.product(k)
	g.Rows, g.filled = g.Rows+k, 0
}

// turn hands the columns of the first k rows of the panel to use as rows of a
// matrix x, from column i on, blockRows at a time.
func (g *Gram) turn(k int, use func(i int, x []float32)) {
	for i := 0; i < g.N; i += blockRows {
		columns := min(blockRows, g.N-i)
		x := g.work.turned[:columns*k]
		kernel.TransposeF32(x, k, g.panel[i:], g.N, k, columns)
		use(i, x)
	}
}

// smallGram is the size up to which single dot products are faster than a
// packed product.
const smallGram = 32

// product adds the sums of the columns of the first k rows of the panel and of
// their products.
func (g *Gram) product(k int) {
	w := g.work
	if g.N > smallGram {
		w.packed = kernel.PackB(w.packed, g.panel, k, g.N, g.N, 1)
	}
	g.turn(k, func(i int, x []float32) {
		rows := len(x) / k
		for j := range rows {
			g.mean[i+j] += float64(kernel.Sum(x[j*k : (j+1)*k]))
		}
		if g.N <= smallGram { // rows are all columns
			for a := range rows {
				for b := a; b < rows; b++ {
					g.sum[a*rows+b] += kernel.Dot(x[a*k:(a+1)*k], x[b*k:(b+1)*k])
				}
			}
			return
		}
		c := g.sum[i*g.N:]
		p := kernel.Gemm{Groups: 1, Rows: rows, N: g.N, K: k, A: x, Lda: k, B: w.packed, C: c, Ldc: g.N, Residual: c, Ldr: g.N}
		p.Run(0, 1, i, g.N)
	})
}

// Finish sums what is left and frees the panel.
func (g *Gram) Finish() {
	g.flush()
	g.panel, g.work = nil, nil
	for i := range g.mean {
		g.mean[i] /= float64(max(g.Rows, 1))
	}
}

// At is element i, j of H = X'X / rows, centred if asked for.
func (g *Gram) At(i, j int) float32 {
	x := float64(g.sum[min(i, j)*g.N+max(i, j)]) / float64(g.Rows)
	if g.centre {
		x -= g.mean[i] * g.mean[j]
	}
	return float32(x)
}

// Mean is the mean of value i.
func (g *Gram) Mean(i int) float64 {
	if g.pilot != nil {
		return g.mean[i] - float64(g.pilot[i])
	}
	return g.mean[i]
}

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
	pilot   []float32 // nil for 0

	panel         []float32 // X' of the rows not yet summed, n x width
	width, filled int
	packed        []float32
}

// NewGram is an empty sum over rows of n values, which are multiplied so many
// (width) at a time. 0 is 512.
func NewGram(n, width int, centre bool) *Gram {
	if width == 0 {
		width = 512
	}
	return &Gram{N: n, centre: centre, width: width, sum: make([]float32, n*n), mean: make([]float64, n), panel: make([]float32, n*width)}
}

// Room is how many rows can be taken at once now, at least one.
func (g *Gram) Room() int {
	if g.filled == g.width {
		g.flush()
	}
	return g.width - g.filled
}

// Take is where to write the next k rows, at most Room: element i of row j is
// dst[i*stride+j].
func (g *Gram) Take(k int) (dst []float32, stride int) {
	g.Room()
	dst = g.panel[g.filled:]
	g.filled += k
	return dst, g.width
}

// flush adds the product of the panel to the sum.
func (g *Gram) flush() {
	k := g.filled
	if k == 0 {
		return
	}
	row := func(i int) []float32 { return g.panel[i*g.width : i*g.width+k] }
	if g.centre && g.pilot == nil {
		g.pilot = make([]float32, g.N)
		for i := range g.pilot {
			g.pilot[i] = kernel.Sum(row(i)) / float32(k)
		}
	}
	for i := range g.N {
		x := row(i)
		if g.pilot != nil {
			for j := range x {
				x[j] -= g.pilot[i]
			}
		}
		g.mean[i] += float64(kernel.Sum(x))
	}
	g.product(k)
	g.Rows, g.filled = g.Rows+k, 0
}

// smallGram is the size up to which single dot products are faster than a
// packed product.
const smallGram = 32

func (g *Gram) product(k int) {
	if g.N <= smallGram {
		for i := range g.N {
			x := g.panel[i*g.width : i*g.width+k]
			for j := i; j < g.N; j++ {
				g.sum[i*g.N+j] += kernel.Dot(x, g.panel[j*g.width:j*g.width+k])
			}
		}
		return
	}
	g.packed = kernel.PackB(g.packed, g.panel, k, g.N, 1, g.width)
	p := kernel.Gemm{Groups: 1, Rows: g.N, N: g.N, K: k, A: g.panel, Lda: g.width, B: g.packed,
		C: g.sum, Ldc: g.N, Residual: g.sum, Ldr: g.N}
	for r := 0; r < g.N; r += blockRows {
		p.RunRows(0, 1, r, min(r+blockRows, g.N), r, g.N)
	}
}

// Finish sums what is left and frees the panel.
func (g *Gram) Finish() {
	g.flush()
	g.panel, g.packed = nil, nil
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
		return g.mean[i] + float64(g.pilot[i])
	}
	return g.mean[i]
}

package kernel

import (
	"fmt"
	"unsafe"
)

// PackB packs the k x n matrix b for Gemm: panels of 16 columns, each k rows
// of 16 values, zero-padded. Element (p, j) is b[p*rowStride + j*colStride].
func PackB(dst []float32, b []float32, k, n, rowStride, colStride int) []float32 {
	dst = resize(dst, Panels(n)*k*Lanes)
	if k == 0 {
		return dst
	}
	for j0 := 0; j0 < n; j0 += Lanes {
		panel := dst[j0*k : (j0+Lanes)*k]
		w := min(Lanes, n-j0)
		if w < Lanes {
			clear(panel)
		}
		if colStride == 1 {
			CopyRows(panel, Lanes, b[j0:], rowStride, k, w)
			continue
		}
		if rowStride == 1 {
			TransposeF32(panel, Lanes, b[j0*colStride:], colStride, w, k)
			continue
		}
		for j := range w {
			at := (j0 + j) * colStride
			for p := range k {
				panel[p*Lanes+j] = b[at+p*rowStride]
			}
		}
	}
	return dst
}

// Gemm is C = Act(A*B + Bias + Residual), row-major, with B packed by PackB.
//
// A row of A is its values at each tap: row i of group g starts at element
// g*GroupStride + i*Lda, and its len(Taps)*K values are the K from each
// Taps[t] on. So a matrix product has one tap, and a convolution over
// channels-last pixels, which needs no patch matrix, has one for each row of
// the kernel. Rows of C are Ldc apart, those of Residual Ldr.
//
// Every sum is taken in order of the taps and k, each product added with one
// rounding, so neither the split of the work nor the instruction set changes a bit.
type Gemm struct {
	Groups, Rows, N, K int // Rows of each group
	A                  []float32
	GroupStride, Lda   int
	Taps               []int // nil: one at 0
	B                  []float32
	C                  []float32
	Ldc                int
	Bias               []float32 // N values, or nil
	Residual           []float32 // or nil; may be C, to accumulate
	Ldr                int
	Clamp              bool // bounds the sums by Lo and Hi
	Lo, Hi             float32
	Act                Function // applied last
}

// oneTap is the taps of a matrix product.
var oneTap = []int{0}

// Sgemm is C = A*B: A of m rows with stride lda, k values each, B packed by
// PackB, C of m rows with stride ldc and n values each.
func Sgemm(m, n, k int, a []float32, lda int, packed []float32, c []float32, ldc int) {
	g := Gemm{Groups: 1, Rows: m, N: n, K: k, A: a, Lda: lda, B: packed, C: c, Ldc: ldc}
	g.Run(0, 1, 0, n)
}

// Run computes columns [n0, n1) of the groups [g0, g1). n0 is a multiple of
// Lanes. It panics if a slice is too short.
func (g *Gemm) Run(g0, g1, n0, n1 int) {
	g.RunRows(g0, g1, 0, g.Rows, n0, n1)
}

// RunRows is Run for the rows [r0, r1) of each group.
func (g *Gemm) RunRows(g0, g1, r0, r1, n0, n1 int) {
	if g.Taps == nil {
		g.Taps = oneTap
	}
	if g0 >= g1 || r0 >= r1 || n0 >= n1 {
		return
	}
	g.check(g0, g1, r0, r1, n0, n1)
	if !useAVX2 || g.K == 0 {
		g.generic(g0, g1, r0, r1, n0, n1)
		return
	}
	g.tiles(g0, g1, r0, r1, n0, n1)
}

func (g *Gemm) check(g0, g1, r0, r1, n0, n1 int) {
	low, high := 0, 0
	for i, t := range g.Taps {
		if i == 0 || t < low {
			low = t
		}
		high = max(high, t)
	}
	first := g0*g.GroupStride + r0*g.Lda + low
	last := (g1-1)*g.GroupStride + (r1-1)*g.Lda + high + g.K
	row := (g1-1)*g.Rows + r1 - 1
	depth := g.K * len(g.Taps)
	if first < 0 || last > len(g.A) || g.Lda < 0 || g.GroupStride < 0 || n0%Lanes != 0 || n0 < 0 || r0 < 0 || g0 < 0 || n1 > g.N ||
		Panels(n1)*depth*Lanes > len(g.B) || row*g.Ldc+n1 > len(g.C) ||
		g.Bias != nil && n1 > len(g.Bias) || g.Residual != nil && row*g.Ldr+n1 > len(g.Residual) {
		panic(fmt.Sprintf("kernel: Gemm of %d groups, %d rows, %d columns, %d taps of %d out of range", g.Groups, g.Rows, g.N, len(g.Taps), g.K))
	}
}

// generic is Run in plain Go.
func (g *Gemm) generic(g0, g1, r0, r1, n0, n1 int) {
	depth := g.K * len(g.Taps)
	for j0 := n0; j0 < n1; j0 += Lanes {
		panel, w := g.B[j0*depth:], min(Lanes, n1-j0)
		for gr := g0; gr < g1; gr++ {
			for r := r0; r < r1; r++ {
				var acc [Lanes]float32
				at := 0
				for _, t := range g.Taps {
					a := g.A[gr*g.GroupStride+r*g.Lda+t:]
					for _, x := range a[:g.K] {
						axpy(acc[:w], x, panel[at:at+Lanes])
						at += Lanes
					}
				}
				i := gr*g.Rows + r
				for j := range w {
					v := acc[j]
					if g.Bias != nil {
						v += g.Bias[j0+j]
					}
					if g.Residual != nil {
						v += g.Residual[i*g.Ldr+j0+j]
					}
					if g.Clamp {
						v = clamp(v, g.Lo, g.Hi)
					}
					g.C[i*g.Ldc+j0+j] = v
				}
			}
		}
	}
	for gr := g0; gr < g1; gr++ {
		g.act(gr*g.Rows+r0, gr*g.Rows+r1, n0, n1)
	}
}

// act applies Act to columns [n0, n1) of rows [r0, r1) of C.
func (g *Gemm) act(r0, r1, n0, n1 int) {
	if g.Act.Kind == Copy {
		return
	}
	if n0 == 0 && n1 == g.Ldc {
		c := g.C[r0*g.Ldc : r1*g.Ldc]
		g.Act.Apply(c, c)
		return
	}
	for r := r0; r < r1; r++ {
		c := g.C[r*g.Ldc+n0 : r*g.Ldc+n1]
		g.Act.Apply(c, c)
	}
}

// tileArgs is the argument block of a micro-kernel; _asm/float/gemm.go has
// its offsets. Distances are in bytes.
type tileArgs struct {
	a        unsafe.Pointer
	lda      int
	taps     unsafe.Pointer
	count    int
	k        int
	b        unsafe.Pointer
	panel    int
	c        unsafe.Pointer
	ldc      int
	bias     unsafe.Pointer
	residual unsafe.Pointer
	ldr      int
	clamp    int
	lo, hi   float32
}

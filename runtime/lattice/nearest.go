package lattice

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"onnxopt/runtime/kernel"
)

// Solver rounds rows of weights that read the same inputs.
//
// With H = LL' the squared error of a row, e'He, is |L'e|^2, and element i of
// L'e depends on e_i and later ones only. So the last weight is rounded first,
// and each other one to the multiple of its step nearest to
// w_i + sum(L_ji e_j, j > i) / L_ii. That is GPTQ without the inverse of H: the
// nearest plane algorithm of Babai, "On Lovasz' lattice reduction and the
// nearest lattice point problem", 1986.
type Solver struct {
	// Order is the inputs, of least energy first: those of most are rounded first.
	Order  []int
	n      int
	damp   float32   // added to the diagonal of H
	factor []float32 // L, inputs in order
	packed []float32
}

// Sizes of blocks: rows of a symmetric product at once, and columns of L.
const (
	blockRows = 128
	blockCols = 64
)

// NewSolver damps and factorizes H, more where float32 needs it. Runs of so many
// inputs (group) stay together in Order, the last one, which may be shorter, at
// its end; 0 is 1.
func NewSolver(g *Gram, group int) (*Solver, error) {
	n := g.N
	group = max(group, 1)
	s := &Solver{n: n, Order: make([]int, n), factor: make([]float32, n*n)}
	energy, trace := make([]float32, (n+group-1)/group), 0.0
	for i := range s.Order {
		s.Order[i] = i
		energy[i/group] += g.At(i, i)
		trace += float64(g.At(i, i))
	}
	if n%group != 0 {
		energy[n/group] = float32(math.Inf(1))
	}
	slices.SortFunc(s.Order, func(a, b int) int {
		return cmp.Or(cmp.Compare(energy[a/group], energy[b/group]), cmp.Compare(b/group, a/group), cmp.Compare(b, a))
	})
	for damp := 0.01; damp <= 1; damp *= 10 {
		s.damp = float32(damp*trace/float64(n) + 1e-12)
		for i, a := range s.Order {
			row := s.factor[i*n:]
			for j, b := range s.Order[:i+1] {
				row[j] = g.At(a, b)
			}
			row[i] += s.damp
		}
		if s.cholesky() {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the inputs' Gram matrix is not positive definite")
}

// cholesky overwrites the lower triangle of factor by L, block by block of
// columns; false if it is not positive definite.
func (s *Solver) cholesky() bool {
	n, a := s.n, s.factor
	var minus []float32
	for k := 0; k < n; k += blockCols {
		e := min(k+blockCols, n)
		for i := k; i < n; i++ {
			row := a[i*n : i*n+n]
			for j := k; j < min(i, e); j++ {
				row[j] = (row[j] - kernel.Dot(row[k:j], a[j*n+k:j*n+j])) / a[j*n+j]
			}
			if i < e {
				d := row[i] - kernel.Dot(row[k:i], row[k:i])
				if !(d > 0) {
					return false
				}
				row[i] = float32(math.Sqrt(float64(d)))
			}
		}
		if e == n {
			break
		}
		m, w := n-e, e-k
		minus = slices.Grow(minus[:0], m*w)[:m*w]
		for i := range m {
			for j, x := range a[(e+i)*n+k : (e+i)*n+e] {
				minus[i*w+j] = -x
			}
		}
		s.packed = kernel.PackB(s.packed, a[e*n+k:], w, m, 1, n)
		rest := a[e*n+e:]
		p := kernel.Gemm{Groups: 1, Rows: m, N: m, K: w, A: minus, Lda: w, B: s.packed, C: rest, Ldc: n, Residual: rest, Ldr: n}
		for r := 0; r < m; r += blockRows {
			p.RunRows(0, 1, r, min(r+blockRows, m), 0, min(r+blockRows, m))
		}
	}
	return true
}

// Round rounds rows of weights w, inputs in Order, to multiples of step, of
// at most limit, and overwrites them by their errors. Zeros stay zero, so that
// pruned weights do.
func (s *Solver) Round(w []float32, rows int, step func(row, input int) float32, limit float32, set func(row, input int, q int8)) {
	n := s.n
	carry := make([]float32, rows*blockCols)
	for e := n; e > 0; {
		k := (e - 1) / blockCols * blockCols
		s.carry(carry, w, rows, k, e)
		for r := range rows {
			row, c := w[r*n+k:r*n+e], carry[r*blockCols:]
			for i := e - k - 1; i >= 0; i-- {
				input, l := s.Order[k+i], s.factor[(k+i)*n+k:(k+i)*n+k+i+1]
				if row[i] == 0 {
					set(r, input, 0)
					continue
				}
				size := step(r, input)
				q := float32(math.RoundToEven(float64((row[i] + c[i]/l[i]) / size)))
				q = min(max(q, -limit), limit)
				set(r, input, int8(q))
				row[i] -= q * size
				for j, x := range l[:i] {
					c[j] += row[i] * x
				}
			}
		}
		e = k
	}
}

// carry is L'e of the inputs from k to e, as far as the errors of later inputs
// make it: [rows][blockCols].
func (s *Solver) carry(carry, errs []float32, rows, k, e int) {
	clear(carry)
	if n := s.n; e < n {
		s.packed = kernel.PackB(s.packed, s.factor[e*n+k:], n-e, e-k, n, 1)
		p := kernel.Gemm{Groups: 1, Rows: rows, N: e - k, K: n - e, A: errs[e:], Lda: n, B: s.packed, C: carry, Ldc: blockCols}
		p.Run(0, 1, 0, e-k)
	}
}

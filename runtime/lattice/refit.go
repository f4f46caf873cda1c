package lattice

import "onnxopt/runtime/kernel"

// Refit moves the weights of rows w that are not zero, inputs in Order, towards
// those that lose least beside was: minimizing (was-w)'H(was-w) over the kept
// ones by so many steps of conjugate gradients, each row by itself, preconditioned
// by the diagonal (Hestenes, Stiefel, 1952; after pruning as in "ALPS", Meng et
// al., 2024, arXiv 2406.07831).
func (s *Solver) Refit(g *Gram, was, w []float32, rows, steps int) {
	n := s.n
	h := make([]float32, n*n)
	for i, a := range s.Order {
		for j, b := range s.Order[:i+1] {
			x := g.At(a, b)
			h[i*n+j], h[j*n+i] = x, x
		}
		h[i*n+i] += s.damp
	}
	packed := kernel.PackB(nil, h, n, n, n, 1)
	product := func(out, x []float32) {
		p := kernel.Gemm{Groups: 1, Rows: rows, N: n, K: n, A: x, Lda: n, B: packed, C: out, Ldc: n}
		for r := 0; r < rows; r += blockRows {
			p.RunRows(0, 1, r, min(r+blockRows, rows), 0, n)
		}
		for i := range out {
			if w[i] == 0 {
				out[i] = 0
			}
		}
	}
	residual, x, q := make([]float32, len(w)), make([]float32, len(w)), make([]float32, len(w))
	for i := range x {
		x[i] = was[i] - w[i]
	}
	product(residual, x)
	energy := make([]float64, rows) // r'z
	clear(x)
	for step := 0; ; step++ {
		for r := range rows {
			sum := 0.0
			for i, v := range residual[r*n : (r+1)*n] {
				sum += float64(v) * float64(v) / float64(h[i*n+i])
			}
			turn := float32(0)
			if energy[r] > 0 {
				turn = float32(sum / energy[r])
			}
			energy[r] = sum
			for i, v := range residual[r*n : (r+1)*n] {
				x[r*n+i] = v/h[i*n+i] + turn*x[r*n+i]
			}
		}
		if step == steps {
			return
		}
		product(q, x)
		for r := range rows {
			row := func(v []float32) []float32 { return v[r*n : (r+1)*n] }
			curve := 0.0
			for i, v := range row(x) {
				curve += float64(v) * float64(row(q)[i])
			}
			if !(curve > 0) {
				continue
			}
			far := float32(energy[r] / curve)
			for i, v := range row(x) {
				if row(w)[i] != 0 {
					row(w)[i] += far * v
					row(residual)[i] -= far * row(q)[i]
				}
			}
		}
	}
}

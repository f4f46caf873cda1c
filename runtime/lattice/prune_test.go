package lattice

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// magnitude zeroes the smallest weights, or all but N of every M.
func magnitude(w []float64, n int, p Sparsity) []float64 {
	out := slices.Clone(w)
	abs := func(i int) float64 { return math.Abs(w[i]) }
	if p.M > 0 {
		for at := 0; at < len(w); at += n {
			for from := at; from < at+n; from += p.M {
				run := make([]int, min(p.M, at+n-from))
				for i := range run {
					run[i] = from + i
				}
				slices.SortFunc(run, func(a, b int) int { return cmp.Compare(abs(b), abs(a)) })
				for _, i := range run[min(p.N, len(run)):] {
					out[i] = 0
				}
			}
		}
		return out
	}
	order := make([]int, len(w))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(abs(a), abs(b)) })
	for _, i := range order[:p.Count] {
		out[i] = 0
	}
	return out
}

// best is the least loss of a row with the given zeros: least squares on what
// stays.
func best(h *mat.SymDense, w, pruned []float64) float64 {
	var kept []int
	for i, x := range pruned {
		if x != 0 {
			kept = append(kept, i)
		}
	}
	sub, right := mat.NewSymDense(len(kept), nil), mat.NewVecDense(len(kept), nil)
	for i, a := range kept {
		for j := i; j < len(kept); j++ {
			sub.SetSym(i, j, h.At(a, kept[j]))
		}
		sub.SetSym(i, i, h.At(a, a)+1e-9)
		for j, x := range w {
			right.SetVec(i, right.AtVec(i)+h.At(a, j)*x)
		}
	}
	var chol mat.Cholesky
	var x mat.VecDense
	if !chol.Factorize(sub) || chol.SolveVecTo(&x, right) != nil {
		return math.NaN()
	}
	out := make([]float64, len(w))
	for i, a := range kept {
		out[a] = x.AtVec(i)
	}
	return loss(h, w, out)
}

func TestPruneAgainstLeastSquares(t *testing.T) {
	for _, c := range []struct {
		n, rows, channels int
		Sparsity
	}{{27, 300, 16, Sparsity{Count: 216}}, {64, 700, 16, Sparsity{N: 2, M: 4}}, {130, 900, 24, Sparsity{Count: 1560}}, {130, 900, 24, Sparsity{N: 2, M: 4}},
		{200, 1500, 24, Sparsity{Count: 3840}}, {200, 150, 8, Sparsity{N: 4, M: 8}}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(c.n)))
			x := correlated(rng, c.rows, c.n)
			h, _ := exactGram(x, false)
			g := NewGram(c.n, 0, false)
			for _, row := range x {
				dst := g.Take(1)
				for i, v := range row {
					dst[i] = float32(v)
				}
			}
			g.Finish()
			s, err := NewSolver(g, c.M)
			if err != nil {
				t.Fatal(err)
			}
			w := make([]float64, c.channels*c.n)
			for i := range w {
				w[i] = rng.NormFloat64()
			}
			ordered := make([]float32, len(w))
			for k := range ordered {
				ordered[k] = float32(w[k/c.n*c.n+s.Order[k%c.n]])
			}
			was := slices.Clone(ordered)
			s.Prune(ordered, c.channels, c.Sparsity)
			inOrder := func(v []float32) []float64 {
				out := make([]float64, len(v))
				for k, x := range v {
					out[k/c.n*c.n+s.Order[k%c.n]] = float64(x)
				}
				return out
			}
			got := inOrder(ordered)
			s.Refit(g, was, ordered, c.channels, 20)
			refit := inOrder(ordered)
			plain := magnitude(w, c.n, c.Sparsity)
			zeros := func(v []float64) (n int) {
				for _, x := range v {
					if x == 0 {
						n++
					}
				}
				return n
			}
			if zeros(got) != zeros(plain) {
				t.Errorf("%d zeros, want %d", zeros(got), zeros(plain))
			}
			var ours, ourRefit, least, nearest float64
			for at := 0; at < len(w); at += c.n {
				row := w[at : at+c.n]
				ours += loss(h, row, got[at:at+c.n])
				least += best(h, row, got[at:at+c.n])
				ourRefit += loss(h, row, refit[at:at+c.n])
				nearest += loss(h, row, plain[at:at+c.n])
			}
			t.Logf("magnitude %.4g, SparseGPT %.4g, refitted %.4g, least squares %.4g", nearest, ours, ourRefit, least)
			if zeros(refit) != zeros(got) || ours > 0.75*nearest || ourRefit > 1.05*least {
				t.Errorf("loss %g, refitted %g with %d zeros; magnitude %g, least squares %g", ours, ourRefit, zeros(refit), nearest, least)
			}
		})
	}
}

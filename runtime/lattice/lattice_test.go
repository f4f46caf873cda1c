package lattice

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// correlated is a matrix of samples whose inputs are correlated and have means.
func correlated(rng *rand.Rand, rows, n int) [][]float64 {
	mix := make([]float64, n*n)
	for i := range mix {
		mix[i] = rng.NormFloat64() / math.Sqrt(float64(n))
	}
	x := make([][]float64, rows)
	for r := range x {
		x[r] = make([]float64, n)
		z := make([]float64, n)
		for i := range z {
			z[i] = rng.NormFloat64() * math.Exp(-4*float64(i)/float64(n))
		}
		for i := range n {
			for j, v := range z {
				x[r][i] += mix[i*n+j] * v
			}
			x[r][i] = max(x[r][i]+0.1*rng.NormFloat64(), -0.2) // an activation
		}
	}
	return x
}

// exactGram is X'X / rows in float64, centred if asked for, and the means.
func exactGram(x [][]float64, centre bool) (*mat.SymDense, []float64) {
	n, rows := len(x[0]), float64(len(x))
	mean := make([]float64, n)
	for _, row := range x {
		for i, v := range row {
			mean[i] += v / rows
		}
	}
	h := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			sum := 0.0
			for _, row := range x {
				sum += row[i] * row[j]
			}
			if sum /= rows; centre {
				sum -= mean[i] * mean[j]
			}
			h.SetSym(i, j, sum)
		}
	}
	return h, mean
}

// gptq rounds one row as the paper has it, in float64: the error of each weight
// moves to those not yet rounded by the Cholesky factor of the inverse of H.
func gptq(t *testing.T, h *mat.SymDense, w []float64, step, limit float64) []float64 {
	t.Helper()
	n := len(w)
	order, trace := make([]int, n), mat.Trace(h)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch d := h.At(b, b) - h.At(a, a); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return a - b
	})
	sym := mat.NewSymDense(n, nil)
	for i, a := range order {
		for j := i; j < n; j++ {
			sym.SetSym(i, j, h.At(a, order[j]))
		}
		sym.SetSym(i, i, h.At(a, a)+0.01*trace/float64(n)+1e-12)
	}
	var chol mat.Cholesky
	var inverse mat.SymDense
	var u mat.TriDense
	if !chol.Factorize(sym) || chol.InverseTo(&inverse) != nil || !chol.Factorize(&inverse) {
		t.Fatal("not positive definite")
	}
	chol.UTo(&u)
	work, out := make([]float64, n), make([]float64, n)
	for k, i := range order {
		work[k] = w[i]
	}
	for k, i := range order {
		q := min(max(math.RoundToEven(work[k]/step), -limit), limit)
		out[i] = q * step
		e := (work[k] - out[i]) / u.At(k, k)
		for j := k + 1; j < n; j++ {
			work[j] -= e * u.At(k, j)
		}
	}
	return out
}

// loss is e'He.
func loss(h *mat.SymDense, w, q []float64) float64 {
	e := make([]float64, len(w))
	for i := range e {
		e[i] = w[i] - q[i]
	}
	v := mat.NewVecDense(len(e), e)
	return mat.Inner(v, h, v)
}

// The blocked float32 solver loses as little as GPTQ in float64, and far less
// than rounding to nearest.
func TestSolverAgainstGPTQ(t *testing.T) {
	for _, c := range []struct {
		n, rows, channels int
		limit             float64
		centre            bool
	}{{9, 200, 40, 127, true}, {27, 300, 8, 7, false}, {64, 700, 16, 7, true}, {130, 600, 8, 127, false}, {200, 150, 4, 7, true}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(c.n)))
			x := correlated(rng, c.rows, c.n)
			h, mean := exactGram(x, c.centre)
			g := NewGram(c.n, 0, c.centre)
			for _, row := range x {
				dst := g.Take(1)
				for i, v := range row {
					dst[i] = float32(v)
				}
			}
			g.Finish()
			for i := range c.n {
				if d := math.Abs(g.Mean(i) - mean[i]); d > 1e-5 {
					t.Fatalf("mean %d is off by %g", i, d)
				}
				for j := range c.n {
					if d := math.Abs(float64(g.At(i, j)) - h.At(i, j)); d > 1e-5*mat.Trace(h) {
						t.Fatalf("H[%d,%d] is off by %g", i, j, d)
					}
				}
			}
			s, err := NewSolver(g, 0)
			if err != nil {
				t.Fatal(err)
			}
			w := make([]float32, c.channels*c.n)
			for i := range w {
				w[i] = float32(rng.NormFloat64())
			}
			step := 3 / c.limit
			errs := make([]float32, len(w))
			for k := range errs {
				errs[k] = w[k/c.n*c.n+s.Order[k%c.n]]
			}
			got := make([]float64, len(w))
			s.Round(errs, c.channels, func(int, int) float32 { return float32(step) }, float32(c.limit),
				func(row, input int, q int8) { got[row*c.n+input] = float64(q) * step })
			var ours, theirs, nearest float64
			for r := range c.channels {
				row, plain := make([]float64, c.n), make([]float64, c.n)
				for i := range row {
					row[i] = float64(w[r*c.n+i])
					plain[i] = min(max(math.RoundToEven(row[i]/step), -c.limit), c.limit) * step
				}
				ours += loss(h, row, got[r*c.n:(r+1)*c.n])
				theirs += loss(h, row, gptq(t, h, row, step, c.limit))
				nearest += loss(h, row, plain)
				for k, i := range s.Order {
					if d := math.Abs(row[i] - got[r*c.n+i] - float64(errs[r*c.n+k])); d > 1e-5 {
						t.Fatalf("error of weight %d is off by %g", i, d)
					}
				}
			}
			t.Logf("nearest %.4g, GPTQ %.4g, blocked %.4g", nearest, theirs, ours)
			if ours > 1.02*theirs || ours > 0.8*nearest {
				t.Errorf("loss %g; GPTQ in float64 %g, nearest %g", ours, theirs, nearest)
			}
		})
	}
}

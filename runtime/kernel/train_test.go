package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTraining: every variant gives the bits of the generic code, at all tails.
func TestTraining(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = rng.Float32()*2 - 1
		}
		return v
	}
	for n := range 40 {
		w, g, m, v := values(n), values(n), values(n), values(n)
		for i := range v {
			v[i] = float32(math.Abs(float64(v[i])))
			m[i] *= float32(i % 3)
			g[i] *= float32(i % 2)
		}
		rows, cols := n%13+1, n+1
		src, pairs := values(rows*(cols+3)), values(2*rows*(2*cols+1))
		for i := range pairs {
			pairs[i] = float32(math.Round(float64(3 * pairs[i]))) // some are equal
		}
		run := func() [][]float32 {
			out := [][]float32{slices.Clone(w), slices.Clone(m), slices.Clone(v), make([]float32, n), slices.Clone(w), make([]float32, n), make([]float32, cols*(rows+1)),
				make([]float32, rows*(cols+2)), slices.Clone(src), slices.Clone(w), slices.Clone(src), make([]float32, rows*cols), nil}
			Adam{0.9, 0.99, 1e-2, 1.5, 1e-8}.Apply(out[0], g, out[1], out[2])
			Mask(out[3], w, g)
			ReluBack(out[5], w, g)
			TransposeF32(out[6], rows+1, src, cols+3, rows, cols)
			CopyRows(out[7], cols+2, src, cols+3, rows, cols)
			AddRows(out[8], cols/2, src, cols+3, rows, cols)
			AddScalar(out[9], 0.7)
			AxpyRows(out[10], cols/2, 0.3, src, cols+3, rows, cols)
			out[9] = append(out[9], DotRows(src, cols+3, src, cols+2, rows, cols))
			at := make([]int32, rows*cols)
			MaxPool2(out[11], at, pairs, rows, cols, 2*cols+1)
			for i, k := range at {
				if pairs[k] != out[11][i] {
					t.Fatalf("n %d: position %d of window %d", n, k, i)
				}
				out[12] = append(out[12], float32(k))
			}
			return out
		}
		variants := allVariants()
		back := variants["generic"]()
		want := run()
		back()
		for r := range rows {
			for c := range cols {
				if want[6][c*(rows+1)+r] != src[r*(cols+3)+c] {
					t.Fatalf("transpose of %dx%d at %d, %d", rows, cols, r, c)
				}
			}
		}
		for name, use := range variants {
			back := use()
			got := run()
			back()
			for k := range want {
				for i := range want[k] {
					if math.Float32bits(got[k][i]) != math.Float32bits(want[k][i]) {
						t.Fatalf("%s: n %d, result %d element %d is %v, want %v", name, n, k, i, got[k][i], want[k][i])
					}
				}
			}
		}
	}
}

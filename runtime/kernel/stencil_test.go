package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestStencil compares with sums in float64 on every variant.
func TestStencil(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(22, 1))
		for range 60 {
			n, taps := StencilBlock*r.IntN(4), StencilTaps*r.IntN(5)
			g, w, offsets := normal(r, n), normal(r, taps), make([]int, taps)
			for k := range offsets {
				offsets[k] = r.IntN(50)
			}
			src, dst, dots, sums := normal(r, n+50), normal(r, n), make([]float32, taps), make([]float32, taps*stencilLanes)
			Stencil(dst, src, offsets, w)
			StencilDots(sums, g, src, offsets)
			StencilSums(dots, sums)
			wantDots := make([]float64, taps)
			for i := range dst {
				want := 0.0
				for k, at := range offsets {
					want += float64(w[k]) * float64(src[at+i])
					wantDots[k] += float64(g[i]) * float64(src[at+i])
				}
				if math.Abs(want-float64(dst[i])) > 1e-5 {
					t.Fatalf("%d of %d elements, %d taps: %v, want %v", i, n, taps, dst[i], want)
				}
			}
			for k, want := range wantDots {
				if math.Abs(want-float64(dots[k])) > 1e-4 {
					t.Fatalf("sum %d of %d elements: %v, want %v", k, n, dots[k], want)
				}
			}
		}
	})
}

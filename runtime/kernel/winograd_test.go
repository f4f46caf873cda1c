package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A tile by Winograd's products is the convolution, on every instruction set.
func TestWinograd(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 1))
		for how := range 8 {
			for _, c := range []int{3, 16, 32} {
				o := c + 16*(how&1)
				x, w := normal(r, 36*c), normal(r, o*c*9)
				v, m, y := make([]float32, 36*c), make([]float32, 36*o), make([]float32, 16*o)
				in := Transform{Channels: c, SrcRow: 6 * c, SrcStep: c, DstRow: 6 * c, DstStep: c}
				in.Run(v, x, nil)
				u, size := PackWinograd(w, o, c, make([]float32, 36*o*c)), Panels(o)*Lanes*c
				for p := range WinogradProducts {
					Sgemm(1, o, c, v[p*c:], c, u[p*size:(p+1)*size], m[p*o:], o)
				}
				out := Transform{Output: true, Channels: o, SrcRow: 6 * o, SrcStep: o, DstRow: 4 * o, DstStep: o}
				var residual []float32
				if how&2 != 0 {
					out.Bias, residual = normal(r, o), normal(r, 16*o)
				}
				if how&4 != 0 {
					out.Clamp, out.Lo, out.Hi = true, -1, 2
				}
				out.Run(y, m, residual)
				for i := range y {
					px, k := i/o, i%o
					want := 0.0
					for tap := range 9 {
						at := ((px/4+tap/3)*6 + px%4 + tap%3) * c
						for ci := range c {
							want += float64(x[at+ci]) * float64(w[(k*c+ci)*9+tap])
						}
					}
					if residual != nil {
						want += float64(out.Bias[k]) + float64(residual[i])
					}
					if out.Clamp {
						want = min(max(want, -1), 2)
					}
					if math.Abs(float64(y[i])-want) > 2e-4 {
						t.Fatalf("channels %d: output %d is %v, want %v", c, i, y[i], want)
					}
				}
			}
		}
	})
}

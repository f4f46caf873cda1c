package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestIgemmAgainstGeneric(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for m := 1; m <= 14; m++ {
		for _, n := range []int{1, 7, 15, 16, 17, 33} {
			for _, k := range []int{2, 4, 66} {
				lda, ldc := k+2, n+2
				a, b := make([]int16, m*lda), make([]int16, k*n)
				for _, s := range [][]int16{a, b} {
					for i := range s {
						s[i] = int16(r.IntN(511) - 255)
					}
				}
				packed := PackPairs(nil, b, k, n, n, 1)
				got, want := make([]int32, m*ldc), make([]int32, m*ldc)
				Igemm(m, n, k, a, lda, packed, got, ldc)
				IgemmGeneric(m, n, k, a, lda, packed, want, ldc)
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("m %d n %d k %d: element %d is %v, want %v", m, n, k, i, got[i], want[i])
					}
				}
			}
		}
	}
}

func BenchmarkIgemm(b *testing.B) {
	const n = 512
	x, y, c := make([]int16, n*n), make([]int16, n*n), make([]int32, n*n)
	packed := PackPairs(nil, y, n, n, n, 1)
	for b.Loop() {
		Igemm(n, n, n, x, n, packed, c, n)
	}
	b.ReportMetric(2*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
}

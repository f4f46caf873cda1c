package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// randomGemm is a product with one or more taps, a bias, a residual and bounds
// where bits of how are set, on rows with gaps.
func randomGemm(r *rand.Rand, groups, rows, n, k, taps int, how int) *Gemm {
	g := &Gemm{Groups: groups, Rows: rows, N: n, K: k, Lda: k + 1, Ldc: n + 2, Ldr: n + 1}
	for t := range taps {
		g.Taps = append(g.Taps, t*(k+3))
	}
	g.GroupStride = rows*g.Lda + 5
	g.A = normal(r, groups*g.GroupStride+taps*(k+3)+k)
	g.B = PackB(nil, normal(r, taps*k*n), taps*k, n, n, 1)
	g.C = normal(r, groups*rows*g.Ldc)
	if how&1 != 0 {
		g.Bias = normal(r, n)
	}
	if how&2 != 0 {
		g.Residual = normal(r, groups*rows*g.Ldr)
	}
	if how&4 != 0 {
		g.Clamp, g.Lo, g.Hi = true, -0.5, 1.5
	} else if how&1 != 0 {
		g.Act.Kind = Sigmoid
	}
	return g
}

func normal(r *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

// eachVariant runs f on every instruction set that the machine has.
func eachVariant(t *testing.T, f func(t *testing.T)) {
	variants := allVariants()
	for name, set := range variants {
		t.Run(name, func(t *testing.T) {
			defer set()()
			f(t)
		})
	}
}

func checkGemm(t *testing.T, g *Gemm) {
	t.Helper()
	want := *g
	want.C = append([]float32(nil), g.C...)
	want.generic(0, g.Groups, 0, g.Rows, 0, g.N)
	g.Run(0, g.Groups, 0, g.N)
	for i := range g.C {
		if math.Float32bits(g.C[i]) != math.Float32bits(want.C[i]) {
			t.Fatalf("%d groups, rows %d n %d k %d taps %d: element %d is %v, want %v", g.Groups, g.Rows, g.N, g.K, len(g.Taps), i, g.C[i], want.C[i])
		}
	}
}

func TestGemmAgainstGeneric(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for how := range 8 {
			for rows := 1; rows <= 30; rows++ {
				for _, n := range []int{1, 7, 8, 9, 16, 17, 24, 31, 32, 33, 40, 48, 57, 64, 100, 129} {
					checkGemm(t, randomGemm(r, 1+rows%3, rows, n, 1+(rows+n)%5, 1+n%3, how))
				}
			}
		}
		checkGemm(t, randomGemm(r, 1, 5, 20, 0, 1, 7))
		checkGemm(t, randomGemm(r, 1, 700, 33, 300, 1, 7))
		checkGemm(t, randomGemm(r, 50, 7, 33, 300, 3, 7))
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(20), uint8(40), uint8(5), uint8(2), uint8(7))
	f.Fuzz(func(t *testing.T, seed uint64, groups, rows, n, k, taps, how uint8) {
		eachVariant(t, func(t *testing.T) {
			checkGemm(t, randomGemm(rand.New(rand.NewPCG(seed, 0)), int(groups%4)+1, int(rows)+1, int(n)+1, int(k), int(taps%4)+1, int(how)))
		})
	})
}

// Splitting the work changes no bit, and neither does the instruction set.
func TestGemmSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	g := randomGemm(r, 2, 61, 130, 70, 2, 7)
	var first []float32
	for name, set := range allVariants() {
		back := set()
		whole, parts := *g, *g
		whole.C, parts.C = make([]float32, len(g.C)), make([]float32, len(g.C))
		whole.Run(0, 2, 0, 130)
		for _, cut := range [][4]int{{0, 20, 0, 48}, {20, 61, 0, 48}, {0, 61, 48, 130}} {
			parts.RunRows(0, 2, cut[0], cut[1], cut[2], cut[3])
		}
		if first == nil {
			first = whole.C
		}
		for i := range first {
			if whole.C[i] != first[i] || parts.C[i] != first[i] {
				t.Fatalf("%s: element %d is %v, in parts %v, want %v", name, i, whole.C[i], parts.C[i], first[i])
			}
		}
		back()
	}
}

func TestSgemmNoAllocation(t *testing.T) {
	a, b, c := make([]float32, 64*64), PackB(nil, make([]float32, 64*60), 64, 60, 60, 1), make([]float32, 64*60)
	if n := testing.AllocsPerRun(10, func() { Sgemm(64, 60, 64, a, 64, b, c, 60) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSgemm(b *testing.B) {
	for _, s := range [][3]int{{512, 512, 512}, {1, 1024, 1024}, {49, 512, 4608}, {3136, 64, 64}, {3136, 64, 576}, {784, 128, 1152}, {197, 768, 768}, {3136, 24, 96}} {
		m, n, k := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("%dx%dx%d", m, n, k), func(b *testing.B) {
			x, y, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
			packed := PackB(nil, y, k, n, n, 1)
			for b.Loop() {
				Sgemm(m, n, k, x, k, packed, c, n)
			}
			b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

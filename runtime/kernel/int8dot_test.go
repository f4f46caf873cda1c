package kernel

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// dotCase is a random product: rows of A and weights [n][taps][k].
func dotCase(r *rand.Rand, m, taps, k, n int, limit int32) (a []byte, rows Rows8, w []int16, bias []int32, scale []float32) {
	a = randomBytes(r, 2*m*k*taps+64)
	rows = Rows8{Base: unsafe.Pointer(&a[0]), Offsets: make([]int32, m)}
	for i := range m {
		rows.Offsets[i] = r.Int32N(int32(m)) * int32(k)
	}
	for range taps {
		rows.Taps = append(rows.Taps, r.IntN(m*k*taps))
	}
	w = make([]int16, taps*k*n)
	for i := range w {
		w[i] = int16(r.Int32N(2*limit) - limit)
	}
	bias, scale = make([]int32, n), make([]float32, n)
	for i := range n {
		bias[i] = r.Int32N(2000) - 1000
		scale[i] = r.Float32() / float32(limit*int32(k*taps))
	}
	return a, rows, w, bias, scale
}

func TestDotAgainstGeneric(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, limit := range []int32{64, 128, 255} {
			for _, n := range []int{1, 3, 15, 16, 17, 24, 32, 40, 64, 65, 112, 130} {
				for _, m := range []int{1, 3, 4, 5, 6, 13, 23} {
					for _, shape := range [][2]int{{1, 1}, {1, 4}, {3, 7}, {2, 16}, {9, 6}} {
						testDot(t, r, m, shape[0], shape[1], n, limit)
					}
				}
			}
		}
	})
}

func testDot(t *testing.T, r *rand.Rand, m, taps, k, n int, limit int32) {
	t.Helper()
	a, rows, w, bias, scale := dotCase(r, m, taps, k, n, limit)
	rq := Requant{Lo: int32(r.IntN(10)), Hi: 255 - int32(r.IntN(10)), Zero: int32(r.IntN(256)), Signed: r.IntN(2) == 0}
	zero, signed := int32(r.IntN(256)), r.IntN(2) == 0
	value := func(q byte) int32 { return int32(q) }
	if signed {
		zero -= 128
		value = func(q byte) int32 { return int32(int8(q)) }
	}
	if rq.Signed {
		rq.Lo, rq.Hi, rq.Zero = rq.Lo-128, rq.Hi-128, rq.Zero-128
	}
	p := Pack8(taps, k, n, w, zero, signed, bias, scale, false)
	wide := make([]int16, len(a))
	if p.Wide {
		Widen8(wide, a, zero, signed)
		rows.Base = unsafe.Pointer(&wide[0])
	}
	if r.IntN(2) == 0 {
		rows.Add = make([]int32, m)
		for i := range rows.Add {
			rows.Add[i] = r.Int32N(1000)
		}
	}
	ldc := n + r.IntN(5)
	sums, got := make([]int32, m*ldc), make([]byte, m*ldc)
	p.Sums(rows, sums, ldc)
	p.Dot(rows, got, ldc, rq)
	for i := range m {
		for j := range n {
			want := bias[j]
			if rows.Add != nil {
				want += rows.Add[i]
			}
			for tap := range taps {
				for kk := range k {
					want += (value(a[int(rows.Offsets[i])+rows.Taps[tap]+kk]) - zero) * int32(w[(j*taps+tap)*k+kk])
				}
			}
			if sums[i*ldc+j] != want {
				t.Fatalf("m %d taps %d k %d n %d: sum %d,%d is %d, want %d", m, taps, k, n, i, j, sums[i*ldc+j], want)
			}
			if b := rq.round(want, scale[j]); b != got[i*ldc+j] {
				t.Fatalf("m %d taps %d k %d n %d: byte %d,%d is %d, want %d", m, taps, k, n, i, j, got[i*ldc+j], b)
			}
		}
	}
	plain := *p
	plain.dot = dotGeneric
	again := bytes.Clone(got)
	plain.Dot(rows, again, ldc, rq)
	if !bytes.Equal(got, again) {
		t.Fatalf("m %d taps %d k %d n %d: generic bytes differ", m, taps, k, n)
	}
}

func BenchmarkDot(b *testing.B) {
	for _, s := range []struct {
		name          string
		m, taps, k, n int
	}{{"conv3x3", 196, 9, 256, 256}, {"conv1x1", 3136, 1, 64, 256}, {"narrow", 3136, 1, 96, 24}, {"short", 3136, 1, 16, 96}, {"deep7", 49, 9, 512, 512}, {"conv1x1b", 784, 1, 512, 128}} {
		b.Run(s.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			a, rows, w, bias, scale := dotCase(r, s.m, s.taps, s.k, s.n, 64)
			p := Pack8(s.taps, s.k, s.n, w, 0, false, bias, scale, false)
			wide := make([]int16, len(a))
			if p.Wide {
				rows.Base = unsafe.Pointer(&wide[0])
			}
			out := make([]byte, s.m*s.n)
			for b.Loop() {
				p.Dot(rows, out, s.n, Requant{Hi: 255})
			}
			b.ReportMetric(2*float64(s.m*s.taps*s.k*s.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
		})
	}
}

func TestProduct8(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for range 60 {
			m, k, n := 1+r.IntN(9), 1+r.IntN(70), 1+r.IntN(70)
			affine := func() Affine8 {
				signed := r.IntN(2) == 0
				return Affine8{1, r.Int32N(256) - Affine8{Signed: signed}.flip(), signed}
			}
			xa, xb := affine(), affine()
			a, b := randomBytes(r, m*k+4), randomBytes(r, k*n)
			p := NewProduct8(k, n, xa, xb)
			base := unsafe.Pointer(&a[0])
			if p.Wide() {
				wide := make([]int16, len(a))
				Widen8(wide, a, xa.Zero, xa.Signed)
				base = unsafe.Pointer(&wide[0])
			}
			rows := Rows8{Base: base, Taps: []int{0}, Add: p.Rows(make([]int32, m), a)}
			for i := range m {
				rows.Offsets = append(rows.Offsets, int32(i*k))
			}
			got := make([]int32, m*n)
			right := p.Pack(make([]byte, p.Size()), b, make([]float32, Panels(n)*Lanes))
			right.Sums(rows, got, n)
			value := func(q byte, x Affine8) int32 {
				if x.Signed {
					return int32(int8(q)) - x.Zero
				}
				return int32(q) - x.Zero
			}
			for i := range got {
				var want int32
				for j := range k {
					want += value(a[i/n*k+j], xa) * value(b[j*n+i%n], xb)
				}
				if got[i] != want {
					t.Fatalf("m %d k %d n %d: sum %d is %d, want %d", m, k, n, i, got[i], want)
				}
			}
		}
	})
}

// TestSaturatingDot: pairs (k, k+1) saturate in int16, then all is int32.
func TestSaturatingDot(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		saturated := 0
		for range 40 {
			m, k, n := 1+r.IntN(14), 1+r.IntN(30), 1+r.IntN(40)
			a, rows, w, bias, scale := dotCase(r, m, 1, k, n, 128)
			for i := range rows.Offsets {
				rows.Offsets[i] = int32(i * k)
			}
			rows.Taps = []int{0}
			zero := r.Int32N(256)
			p := Pack8(1, k, n, w, zero, false, bias, scale, true)
			if p.Wide { // no pair saturates
				continue
			}
			got := make([]int32, m*n)
			p.Sums(rows, got, n)
			for i := range got {
				row, c := i/n, i%n
				want, columns := bias[c], int32(0)
				for kk := 0; kk < k; kk += 2 {
					pair := int32(a[row*k+kk]) * int32(w[c*k+kk])
					columns += int32(w[c*k+kk])
					if kk+1 < k {
						pair += int32(a[row*k+kk+1]) * int32(w[c*k+kk+1])
						columns += int32(w[c*k+kk+1])
					}
					if pair > 32767 || pair < -32768 {
						saturated++
					}
					want += min(max(pair, -32768), 32767)
				}
				if want -= zero * columns; got[i] != want {
					t.Fatalf("m %d k %d n %d: sum %d is %d, want %d", m, k, n, i, got[i], want)
				}
			}
		}
		if saturated == 0 {
			t.Error("nothing saturated")
		}
	})
}

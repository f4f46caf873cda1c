package kernel

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestDepthwiseAgainstGeneric(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, c := range []int{1, 15, 16, 17, 24, 32, 40, 48, 63, 64, 72, 96, 100, 144, 200} {
			for _, taps := range []int{1, 2, 3, 4, 9, 25, 49} {
				for _, limit := range []int32{128, 255} {
					const pixels = 7
					a := randomBytes(r, 20*c+64)
					off := make([]int32, pixels*taps)
					for i := range off {
						off[i] = r.Int32N(20) * int32(c)
					}
					ws := make([]int32, taps*c)
					for i := range ws {
						ws[i] = r.Int32N(2*limit) - limit
					}
					scale, bias := make([]float32, c), make([]int32, c)
					for i := range c {
						scale[i], bias[i] = r.Float32()/float32(limit*int32(taps)), r.Int32N(1000)
					}
					d := PackDepthwise8(taps, c, func(t, c int) int32 { return ws[t*len(scale)+c] }, r.Int32N(256), bias, scale)
					rq := Requant{Lo: r.Int32N(9), Hi: 255, Zero: r.Int32N(256)}
					ldc := c + 3
					got, want := make([]byte, pixels*ldc), make([]byte, pixels*ldc)
					d.Run(pixels, unsafe.Pointer(&a[0]), d.Offsets(off), got, ldc, rq)
					d.generic(pixels, unsafe.Pointer(&a[0]), off, want, ldc, rq)
					if !bytes.Equal(got, want) {
						t.Fatalf("c %d taps %d: differs", c, taps)
					}
					clear(got)
					clear(want)
					MaxPool8(pixels, taps, c, unsafe.Pointer(&a[0]), off, got, ldc)
					for p := range pixels {
						for i := range c {
							for _, o := range off[p*taps : (p+1)*taps] {
								want[p*ldc+i] = max(want[p*ldc+i], a[int(o)+i])
							}
						}
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("c %d taps %d: greatest value differs", c, taps)
					}
				}
			}
		}
	})
}

func TestElementwise8AgainstGeneric(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for round := range 40 {
		n := r.IntN(300)
		a, b := randomBytes(r, n), randomBytes(r, n)
		affine := func() Affine8 { return Affine8{r.Float32(), r.Int32N(256), int32(round%2) * 128} }
		xa, xb, y := affine(), affine(), affine()
		add, mul := NewAdd8(xa, xb, y, 3, 250), NewMul8(xa, xb, y, 3, 250)
		f, sums := make([]float32, n), make([]int32, n)
		scale := make([]float32, n)
		for i := range n {
			f[i], sums[i], scale[i] = float32(r.NormFloat64())*100, r.Int32(), r.Float32()
		}
		table := [256]byte(randomBytes(r, 256))
		run := func() [][]byte {
			out := make([][]byte, 7)
			for i := range out[:5] {
				out[i] = make([]byte, n)
			}
			add.Run(out[0], a, b)
			mul.Run(out[1], a, b)
			Quantize8(out[2], f, y, 0, 255)
			Table8(out[3], a, &table)
			Flip8(out[4], a)
			g, w := make([]float32, 2*n+1), make([]int16, n+1)
			Dequantize8(g[:n], a, xa)
			ScaleSums(g[n:2*n], sums, scale)
			Widen8(w[:n], a, xa.Zero)
			out[5] = unsafe.Slice((*byte)(unsafe.Pointer(&g[0])), 8*n)
			out[6] = unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), 2*n)
			return out
		}
		restore := allVariants()["generic"]()
		want := run()
		restore()
		eachVariant(t, func(t *testing.T) {
			for i, got := range run() {
				if !bytes.Equal(got, want[i]) {
					t.Errorf("function %d of %d elements differs", i, n)
				}
			}
		})
	}
}

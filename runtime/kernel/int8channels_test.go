package kernel

import (
	"bytes"
	"fmt"
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
					p := Pixels8{Base: unsafe.Pointer(&a[0]), Offsets: make([]int32, pixels), Taps: make([]int32, taps), Signed: r.IntN(2) == 0}
					for _, s := range [][]int32{p.Offsets, p.Taps} {
						for i := range s {
							s[i] = r.Int32N(10) * int32(c)
						}
					}
					ws := make([]int32, taps*c)
					for i := range ws {
						ws[i] = r.Int32N(2*limit) - limit
					}
					scale, bias := make([]float32, c), make([]int32, c)
					for i := range c {
						scale[i], bias[i] = r.Float32()/float32(limit*int32(taps)), r.Int32N(1000)
					}
					d := PackDepthwise8(taps, c, func(t, c int) int32 { return ws[t*len(scale)+c] }, r.Int32N(256)-128, p.Signed, bias, scale)
					rq := Requant{Lo: r.Int32N(9), Hi: 127, Zero: r.Int32N(128), Signed: r.IntN(2) == 0}
					ldc := c + 3
					got, want := make([]byte, pixels*ldc), make([]byte, pixels*ldc)
					d.Run(p, got, ldc, rq)
					d.generic(p, want, ldc, rq)
					if !bytes.Equal(got, want) {
						t.Fatalf("c %d taps %d: differs", c, taps)
					}
					clear(got)
					clear(want)
					MaxPool8(p, c, got, ldc)
					for i, offset := range p.Offsets {
						for ch := range c {
							top := -128
							for _, tap := range p.Taps {
								v := int(a[int(offset+tap)+ch])
								if p.Signed {
									v = int(int8(v))
								}
								top = max(top, v)
							}
							want[i*ldc+ch] = byte(top)
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
		affine := func() Affine8 { return Affine8{r.Float32(), r.Int32N(256) - int32(round%2)*128, round%2 == 1} }
		xa, xb, y := affine(), affine(), affine()
		add, mul := NewAdd8(xa, xb, y, 3, 120), NewMul8(xa, xb, y, 3, 120)
		f, sums := make([]float32, n), make([]int32, n)
		scale := make([]float32, n)
		for i := range n {
			f[i], sums[i], scale[i] = float32(r.NormFloat64())*100, r.Int32(), r.Float32()
		}
		table := [256]byte(randomBytes(r, 256))
		run := func() [][]byte {
			out := make([][]byte, 6)
			for i := range out[:4] {
				out[i] = make([]byte, n)
			}
			add.Run(out[0], a, b)
			mul.Run(out[1], a, b)
			Quantize8(out[2], f, y, 0, 127)
			Table8(out[3], a, &table)
			g, w := make([]float32, 2*n+1), make([]int16, n+1)
			Dequantize8(g[:n], a, xa)
			ScaleSums(g[n:2*n], sums, scale, f)
			Widen8(w[:n], a, xa.Zero, xa.Signed)
			out[4] = unsafe.Slice((*byte)(unsafe.Pointer(&g[0])), 8*n)
			out[5] = unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), 2*n)
			lo, hi := Bounds(f)
			return append(out, fmt.Append(nil, lo, hi, SumBytes(a, xa.Signed)))
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

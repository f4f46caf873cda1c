package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// A fuzz target for each family of kernels: what every instruction set computes
// has the bits of plain Go, and nothing beside it is written.

// drawn is the sizes of a case and where its numbers come from.
type drawn struct {
	*rand.Rand
	a, b, c int
	how     int
}

// bit is bit i of how.
func (d *drawn) bit(i int) bool { return d.how>>i&1 != 0 }

// floats draws n numbers: Gaussian, whole, special or of random bits, by the two upper bits of how.
func (d *drawn) floats(n int) []float32 {
	special := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-39, 1e-30, 1, -1, 0.5, 88.7, -88.7, 104, 3e38, -3e38,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	s := make([]float32, n)
	for i := range s {
		switch how := d.how >> 6; {
		case how == 1:
			s[i] = float32(d.IntN(8193)-4096) / 4
		case how == 2 && d.IntN(4) == 0:
			s[i] = special[d.IntN(len(special))]
		case how == 3:
			s[i] = math.Float32frombits(d.Uint32())
		default:
			s[i] = float32(d.NormFloat64())
		}
	}
	return s
}

func (d *drawn) bytes(n int) []byte { return randomBytes(d.Rand, n) }

func (d *drawn) affine(signed bool) Affine8 {
	a := Affine8{Scale: float32(math.Exp(d.NormFloat64() * 3)), Signed: signed}
	a.Zero = d.Int32N(256) - a.flip()
	return a
}

// requant draws the last step of an integer sum.
func (d *drawn) requant() Requant {
	r := Requant{Lo: d.Int32N(100), Hi: 255 - d.Int32N(100), Zero: d.Int32N(256), Signed: d.bit(0)}
	if r.Signed {
		r.Lo, r.Hi, r.Zero = r.Lo-128, r.Hi-128, r.Zero-128
	}
	return r
}

// words is what a result is compared as; every NaN is one.
func words32[T float32 | int32 | int16 | byte](x []T) []uint32 {
	w := make([]uint32, len(x))
	for i, v := range x {
		if f, ok := any(v).(float32); !ok {
			w[i] = uint32(int32(v))
		} else if w[i] = math.Float32bits(f); f != f {
			w[i] = math.Float32bits(float32(math.NaN()))
		}
	}
	return w
}

// fuzzVariants runs on each variant what body makes of a case: a function that
// computes the same results, as words, whenever it is called.
func fuzzVariants(f *testing.F, body func(d *drawn) func() [][]uint32) {
	for i := range 12 {
		f.Add(uint64(i), uint8(23*i), uint8(41*i+5), uint8(7*i), uint8(67*i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, a, b, c, how uint8) {
		sameOnVariants(t, body(&drawn{rand.New(rand.NewPCG(seed, 0)), int(a), int(b), int(c), int(how)}))
	})
}

func sameOnVariants(t *testing.T, run func() [][]uint32) {
	t.Helper()
	back := allVariants()["generic"]()
	want := run()
	back()
	for name, use := range allVariants() {
		back := use()
		got := run()
		back()
		for i := range want {
			if slices.Equal(got[i], want[i]) {
				continue
			}
			for j := range want[i] {
				if got[i][j] != want[i][j] {
					t.Fatalf("%s: result %d, element %d of %d is %#x (%v), want %#x (%v)", name, i, j, len(want[i]),
						got[i][j], math.Float32frombits(got[i][j]), want[i][j], math.Float32frombits(want[i][j]))
				}
			}
		}
	}
}

// place is room for a result of n elements with others behind it.
func place[T float32 | int32 | int16 | byte](n int) []T {
	s := make([]T, n+40)
	for i := range s {
		s[i] = 7
	}
	return s
}

func FuzzIgemm(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		m, n, k := 1+d.a%40, 1+d.b, 2*(d.c%100)
		lda, ldc := k+d.IntN(3), n+d.IntN(3)
		a, b := make([]int16, m*lda+1), make([]int16, k*n)
		for _, s := range [][]int16{a, b} {
			for i := range s {
				s[i] = int16(d.IntN(511) - 255)
			}
		}
		packed := PackPairs(nil, b, k, n, n, 1)
		return func() [][]uint32 {
			c := place[int32](m * ldc)
			Igemm(m, n, k, a, lda, packed, c, ldc)
			return [][]uint32{words32(c)}
		}
	})
}

// FuzzDot: products with constant bytes, in the panels that each variant packs.
func FuzzDot(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		m, taps, k, n := 1+d.a%30, 1+d.how>>2%4, 1+d.b%80, 1+d.c%140
		limit := []int32{64, 128, 255}[d.IntN(3)]
		a, rows, w, bias, scale := dotCase(d.Rand, m, taps, k, n, limit)
		signed, zero, saturate := d.bit(1), d.Int32N(256), d.bit(6) && limit == 128
		if signed {
			zero -= 128
		}
		if d.bit(5) {
			rows.Add = make([]int32, m)
			for i := range m {
				rows.Add[i] = d.Int32N(1000)
			}
		}
		ldc, rq, base := n+d.IntN(5), d.requant(), rows.Base
		return func() [][]uint32 {
			p := Pack8(taps, k, n, w, zero, signed, bias, scale, saturate)
			rows.Base = base
			if p.Wide {
				wide := make([]int16, len(a))
				Widen8(wide, a, zero, signed)
				rows.Base = unsafe.Pointer(&wide[0])
			}
			sums, out := place[int32](m*ldc), place[byte](m*ldc)
			p.Sums(rows, sums, ldc)
			p.Dot(rows, out, ldc, rq)
			p.SetZero(zero + 1)
			again := place[int32](m * ldc)
			if !p.Wide { // else the left-hand matrix is less its zero point
				p.SetZero(zero)
				p.Sums(rows, again, ldc)
			} else {
				copy(again, sums)
			}
			return [][]uint32{words32(sums), words32(out), words32(again)}
		}
	})
}

// FuzzProduct8: products of two matrices of bytes.
func FuzzProduct8(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		m, k, n := 1+d.a%20, 1+d.b%100, 1+d.c%140
		xa, xb := d.affine(d.bit(0)), d.affine(d.bit(1))
		a, b := d.bytes(m*k+4), d.bytes(k*n)
		return func() [][]uint32 {
			p := NewProduct8(k, n, xa, xb)
			rows := Rows8{Base: unsafe.Pointer(&a[0]), Taps: []int{0}, Add: p.Rows(make([]int32, m), a)}
			if p.Wide() {
				wide := make([]int16, len(a))
				Widen8(wide, a, xa.Zero, xa.Signed)
				rows.Base = unsafe.Pointer(&wide[0])
			}
			for i := range m {
				rows.Offsets = append(rows.Offsets, int32(i*k))
			}
			out := place[int32](m * n)
			right := p.Pack(make([]byte, p.Size()), b, make([]float32, Panels(n)*Lanes))
			right.Sums(rows, out, n)
			return [][]uint32{words32(out)}
		}
	})
}

// FuzzChannels8: depthwise products and greatest values of bytes.
func FuzzChannels8(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		c, taps, pixels := 1+d.a, 1+d.b%50, 1+d.c%20
		limit := []int32{128, 255}[d.IntN(2)]
		a := d.bytes(20*c + 64)
		p := Pixels8{Base: unsafe.Pointer(&a[0]), Offsets: make([]int32, pixels), Taps: make([]int32, taps), Signed: d.bit(1)}
		for _, s := range [][]int32{p.Offsets, p.Taps} {
			for i := range s {
				s[i] = d.Int32N(10) * int32(c)
			}
		}
		w, scale, bias := make([]int32, taps*c), make([]float32, c), make([]int32, c)
		for i := range w {
			w[i] = d.Int32N(2*limit) - limit
		}
		for i := range c {
			scale[i], bias[i] = d.Float32()/float32(limit*int32(taps)), d.Int32N(1000)
		}
		zero, rq, ldc := d.Int32N(256)-128, d.requant(), c+d.IntN(4)
		return func() [][]uint32 {
			out, top := place[byte](pixels*ldc), place[byte](pixels*ldc)
			PackDepthwise8(taps, c, func(t, i int) int32 { return w[t*c+i] }, zero, p.Signed, bias, scale).Run(p, out, ldc, rq)
			MaxPool8(p, c, top, ldc)
			return [][]uint32{words32(out), words32(top)}
		}
	})
}

// FuzzElementwise8: bytes one by one.
func FuzzElementwise8(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		n := d.a + d.b
		a, b, signed := d.bytes(n), d.bytes(n), d.bit(0)
		xa, xb, y := d.affine(signed), d.affine(signed), d.affine(signed)
		lo := d.Int32N(100) - y.flip()
		hi := lo + d.Int32N(156)
		x, sums, scale, shift := d.floats(n), make([]int32, n), d.floats(n), d.floats(n)
		for i := range sums {
			sums[i] = int32(d.Uint32())
		}
		table := [256]byte(d.bytes(256))
		var numbers []float32
		for _, v := range x {
			if v == v {
				numbers = append(numbers, v)
			}
		}
		return func() [][]uint32 {
			var out [][]uint32
			byteResult := func(run func(dst []byte)) {
				dst := place[byte](n)
				run(dst[:n])
				out = append(out, words32(dst))
			}
			add, mul := NewAdd8(xa, xb, y, lo, hi), NewMul8(xa, xb, y, lo, hi)
			byteResult(func(dst []byte) { add.Run(dst, a, b) })
			byteResult(func(dst []byte) { mul.Run(dst, a, b) })
			byteResult(func(dst []byte) { Quantize8(dst, x, y, lo, hi) })
			byteResult(func(dst []byte) { Table8(dst, a, &table) })
			floats, wide := place[float32](n), place[int16](n)
			Dequantize8(floats[:n], a, xa)
			out = append(out, words32(floats))
			ScaleSums(floats[:n], sums, scale, shift)
			Widen8(wide[:n], a, xa.Zero, xa.Signed)
			lo, hi := Bounds(numbers)
			return append(out, words32(floats), words32(wide), words32([]float32{lo + 0, hi + 0}), words32([]int32{SumBytes(a, signed)}))
		}
	})
}

// FuzzWinograd: both transforms of a tile.
func FuzzWinograd(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		c := 1 + d.a
		if d.bit(1) {
			c = Lanes * (1 + d.a%9)
		}
		tr := Transform{Output: d.bit(0), Channels: c, SrcStep: c + d.IntN(3), DstStep: c + d.IntN(3)}
		tr.SrcRow, tr.DstRow = 6*tr.SrcStep+d.IntN(5), 6*tr.DstStep+d.IntN(5)
		src, size := d.floats(6*tr.SrcRow+c), 6*tr.DstRow+c
		var residual []float32
		if tr.Output && d.bit(2) {
			tr.Bias = d.floats(c)
		}
		if tr.Output && d.bit(3) {
			residual = d.floats(size)
		}
		if tr.Output && d.bit(4) {
			tr.Clamp, tr.Lo, tr.Hi = true, -1, 2
		}
		return func() [][]uint32 {
			dst := place[float32](size)
			tr.Run(dst, src, residual)
			return [][]uint32{words32(dst)}
		}
	})
}

// FuzzWindow: sums and maxima over windows, and depthwise rows.
func FuzzWindow(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		c, pixels := 1+d.a%70, 1+d.b%24
		w := Window{Channels: c, Stride: c * (1 + d.how%2), YStride: c + d.IntN(4), Clamp: d.bit(2), Lo: -0.5, Hi: 0.5}
		for range d.c % 12 {
			w.Taps = append(w.Taps, Tap{d.IntN(3) * c, d.IntN(5) * c})
		}
		if d.bit(3) {
			w.W = d.floats(5 * c)
		}
		if d.bit(4) {
			w.Bias = d.floats(c)
		}
		w.Prepare()
		x := d.floats(pixels*w.Stride + 3*c)
		return func() [][]uint32 {
			y := place[float32](pixels * w.YStride)
			w.Run(y, x, pixels)
			return [][]uint32{words32(y)}
		}
	})
}

// FuzzDepthwise: rows of a depthwise convolution, and sums of rows.
func FuzzDepthwise(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		acts := []Function{{}, {Kind: Relu}, Clip(-0.5, 0.5), {Kind: SiLU}, {Kind: HardSwish}, {Kind: Tanh}}
		r := Depthwise{Channels: 1 + d.a%70, Wide: 1 + d.how%7, Stride: 1 + d.IntN(3), Width: 1 + d.b%40, Act: acts[d.IntN(len(acts))]}
		r.Left = d.IntN(r.Wide)
		low := d.IntN(4)
		high := low + d.IntN(5-low)
		r.W = d.floats(high * r.Wide * r.Channels)
		if d.bit(5) {
			r.Bias = d.floats(r.Channels)
		}
		pixels := max((r.Width+r.Left+d.IntN(r.Wide)-r.Wide)/r.Stride+1, 1)
		stride := r.Width*r.Channels + d.IntN(5)
		x, sums := d.floats(high*stride), d.floats(min(stride, r.Channels+d.IntN(40)))
		return func() [][]uint32 {
			y, s := place[float32](pixels*r.Channels), slices.Clone(sums)
			r.Row(y, x, stride, low, high, pixels)
			SumRows(s, x, stride, high)
			return [][]uint32{words32(y), words32(s)}
		}
	})
}

// FuzzTranspose: elements of every size, aligned or not.
func FuzzTranspose(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		rows, cols, size := d.a%80, d.b%80, []int{1, 2, 4, 8, 3, 16}[d.how%6]
		to, from, shift := rows+d.IntN(3), cols+d.IntN(3), d.c%5
		src := d.bytes(rows*from*size + shift)[shift:]
		return func() [][]uint32 {
			dst := place[byte](cols*to*size + shift)
			TransposeStrided(dst[shift:], src, rows, cols, to, from, size)
			return [][]uint32{words32(dst)}
		}
	})
}

// FuzzTraining: Adam and what moves and adds rows of gradients.
func FuzzTraining(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		n, rows, cols := d.a, 1+d.b%20, 1+d.c%70
		w, g, m, v, y := d.floats(n), d.floats(n), d.floats(n), d.floats(n), d.floats(n)
		u := Adam{d.Float32(), d.Float32(), d.Float32(), 1 + d.Float32(), 1e-8}
		src, overlap, factor := d.floats(rows*(cols+3)+cols), d.IntN(cols+1), d.floats(1)[0]
		window, offsets := d.floats(2*StencilBlock), []int{d.b % StencilBlock, 0, d.c % StencilBlock}
		return func() [][]uint32 {
			out := [][]float32{slices.Clone(w), slices.Clone(m), slices.Clone(v), place[float32](n), place[float32](n), slices.Clone(w),
				place[float32](cols * (rows + 1)), place[float32](rows * (cols + 2)), slices.Clone(src), slices.Clone(src), nil}
			u.Apply(out[0], g, out[1], out[2])
			Mask(out[3][:n], w, g)
			ReluBack(out[4][:n], y, g)
			AddScalar(out[5], factor)
			TransposeF32(out[6], rows+1, src, cols+3, rows, cols)
			CopyRows(out[7], cols+2, src, cols+3, rows, cols)
			AddRows(out[8], overlap, src, cols+3, rows, cols)
			AxpyRows(out[9], overlap, factor, src, cols+3, rows, cols)
			out[10] = []float32{DotRows(src, cols+3, src, cols+2, rows, cols)}
			clipped, block, sums := place[float32](n), place[float32](StencilBlock), make([]float32, 3*stencilLanes)
			ClipBack(clipped[:n], y, g, -factor, factor)
			Stencil(block[:StencilBlock], window, offsets, window)
			StencilDots(sums, window[:StencilBlock], window, offsets)
			out = append(out, clipped, block, sums)
			var all [][]uint32
			for _, x := range out {
				all = append(all, words32(x))
			}
			return all
		}
	})
}

// FuzzReductions: functions of two numbers, sums and extremes.
func FuzzReductions(f *testing.F) {
	fuzzVariants(f, func(d *drawn) func() [][]uint32 {
		n := d.a + d.b
		a, b, shift, center := d.floats(n), d.floats(n), d.floats(n), d.floats(1)[0]
		return func() [][]uint32 {
			var out [][]uint32
			dst := place[float32](n)
			for o := Add; o <= Div; o++ {
				o.Apply(dst[:n], a, b)
				out = append(out, words32(dst))
			}
			Affine(dst[:n], a, b, shift)
			out = append(out, words32(dst))
			sum := ExpSum(dst[:n], a, center)
			return append(out, words32(dst), words32([]float32{sum, Sum(a), Dot(a, b), Spread(a, center), Max(a), Min(a)}))
		}
	})
}

// FuzzFunctions: functions of one number, also against float64.
func FuzzFunctions(f *testing.F) {
	f.Add(uint8(1), float32(0.5))
	for kind := Copy; kind <= Line; kind++ {
		f.Add(uint8(kind), float32(-1e-9))
	}
	f.Fuzz(func(t *testing.T, kind uint8, x float32) {
		fn := Function{Kind: Unary(kind) % (Line + 1), A: 0.2, B: 0.5, Lo: -1, Hi: 1}
		src := make([]float32, 37)
		for i := range src {
			src[i] = x * (1 + float32(i)/32)
		}
		sameOnVariants(t, func() [][]uint32 {
			y := place[float32](len(src))
			fn.Apply(y[:len(src)], src)
			for i, v := range src {
				if want := exactly(fn, v); defined(fn, v) && !close32(y[i], want, 1e-5) {
					t.Fatalf("function %d of %v is %v, want %v", fn.Kind, v, y[i], want)
				}
			}
			return [][]uint32{words32(y)}
		})
	})
}

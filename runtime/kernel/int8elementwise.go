package kernel

import "math"

// binary8 is the constants of an element-wise kernel; its layout is known to
// _asm/int8.
type binary8 struct {
	scaleA, scaleB, fixed float32
	lo, hi, flip          int32
	zeroA, zeroB          int32
}

// Affine8 is the meaning of bytes, int8 if Signed: (q - Zero) * Scale.
type Affine8 struct {
	Scale  float32
	Zero   int32
	Signed bool
}

// flip is what makes signed values unsigned, by exclusive or or addition.
func (a Affine8) flip() int32 {
	if a.Signed {
		return 128
	}
	return 0
}

// Add8 is dst = (a + b) / y.Scale + zero point with bounds lo and hi, with the
// roundings of onnxruntime's QLinearAdd on AVX2: fma(a, ra, fma(b, rb, fixed)), ra = a.Scale/y.Scale, rb =
// b.Scale/y.Scale, fixed = zy - (ra*za + rb*zb), rounded half to even.
type Add8 struct{ binary8 }

// NewAdd8 prepares a sum of three values that are all signed or all not.
func NewAdd8(a, b, y Affine8, lo, hi int32) Add8 {
	ra, rb := a.Scale/y.Scale, b.Scale/y.Scale
	za, zb, zy := float32(a.Zero), float32(b.Zero), float32(y.Zero)
	fixed := zy - FMA32(ra, za, rb*zb)
	return Add8{binary8{scaleA: ra, scaleB: rb, fixed: fixed, lo: lo + y.flip(), hi: hi + y.flip(), flip: y.flip()}}
}

// Run computes n bytes.
func (k *Add8) Run(dst, a, b []byte) {
	n := add8Fast(&k.binary8, dst, a, b)
	for i := n; i < len(dst); i++ {
		x, y := float32(k.byte(a[i])-k.flip), float32(k.byte(b[i])-k.flip)
		dst[i] = k.round(FMA32(x, k.scaleA, FMA32(y, k.scaleB, k.fixed)))
	}
}

// round is half to even; like the instruction, what passes int32 is its lowest
// value.
func (k *binary8) round(v float32) byte {
	r := math.RoundToEven(float64(v))
	if !(r >= math.MinInt32 && r <= math.MaxInt32) {
		r = math.MinInt32
	}
	return byte(min(max(int32(r)+k.flip, k.lo), k.hi) ^ k.flip)
}

// byte is q as an unsigned value.
func (k *binary8) byte(q byte) int32 { return int32(q) ^ k.flip }

// Mul8 is dst = a * b / y.Scale + zero point, as onnxruntime's QLinearMul
// rounds: float32((a-za)*(b-zb)) * (a.Scale*b.Scale/y.Scale) + zy.
type Mul8 struct{ binary8 }

// NewMul8 prepares a product of values as for NewAdd8.
func NewMul8(a, b, y Affine8, lo, hi int32) Mul8 {
	return Mul8{binary8{scaleA: a.Scale * b.Scale / y.Scale, fixed: float32(y.Zero), lo: lo + y.flip(), hi: hi + y.flip(), flip: y.flip(),
		zeroA: a.Zero + a.flip(), zeroB: b.Zero + b.flip()}}
}

// Run computes len(dst) bytes.
func (k *Mul8) Run(dst, a, b []byte) {
	n := mul8Fast(&k.binary8, dst, a, b)
	for i := n; i < len(dst); i++ {
		p := float32((k.byte(a[i])-k.zeroA)*(k.byte(b[i])-k.zeroB)) * k.scaleA
		dst[i] = k.round(float32(p) + k.fixed)
	}
}

// Quantize8 is round(x/Scale) + Zero, saturated to [lo, hi].
func Quantize8(dst []byte, x []float32, q Affine8, lo, hi int32) {
	n := quantize8Fast(dst, x, q, lo, hi)
	for i := n; i < len(dst); i++ {
		v := max(min(x[i]/q.Scale, float32(hi-q.Zero)), float32(lo-q.Zero))
		if v != v {
			v = float32(lo - q.Zero)
		}
		dst[i] = byte(int32(math.RoundToEven(float64(v))) + q.Zero)
	}
}

// Dequantize8 is (q - Zero) * Scale.
func Dequantize8(dst []float32, x []byte, q Affine8) {
	n := dequantize8Fast(dst, x, q)
	for i := n; i < len(dst); i++ {
		dst[i] = float32(int32(x[i])^q.flip()-q.flip()-q.Zero) * q.Scale
	}
}

// ScaleSums is float32(sums)*scale + shift, each step rounded.
func ScaleSums(dst []float32, sums []int32, scale, shift []float32) {
	n := scale8Fast(dst, sums, scale, shift)
	for i := n; i < len(dst); i++ {
		v := float32(sums[i]) * scale[i]
		dst[i] = float32(v) + shift[i]
	}
}

// Widen8 is int16(x) - zero.
func Widen8(dst []int16, x []byte, zero int32, signed bool) {
	flip := Affine8{Signed: signed}.flip()
	zero += flip
	n := widen8Fast(dst, x, zero, flip)
	for i := n; i < len(dst); i++ {
		dst[i] = int16(int32(x[i]) ^ flip - zero)
	}
}

// Table8 is dst = table[src]; they may be the same.
func Table8(dst, src []byte, table *[256]byte) {
	n := table8Fast(dst, src, table)
	for i := n; i < len(dst); i++ {
		dst[i] = table[src[i]]
	}
}

// Bounds is the least and the greatest of x and zero, of values that are
// numbers.
func Bounds(x []float32) (lo, hi float32) {
	lo, hi, n := boundsFast(x)
	for _, v := range x[n:] {
		lo, hi = min(lo, v), max(hi, v)
	}
	return min(lo, 0), max(hi, 0)
}

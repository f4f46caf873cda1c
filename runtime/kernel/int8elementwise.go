package kernel

import (
	"math"
	"unsafe"
)

// binary8 is the constants of an element-wise kernel; its layout is known to
// _asm/int8.
type binary8 struct {
	scaleA, scaleB, fixed float32
	lo, hi, flip          int32
	zeroA, zeroB          int32
}

// Affine8 is the meaning of stored bytes: (q - Zero) * Scale. Signed values are
// stored plus 128, and Zero with them; Flip is then 128.
type Affine8 struct {
	Scale float32
	Zero  int32
	Flip  int32
}

// Add8 is dst = (a + b) / y.Scale + zero point with bounds lo and hi, with the
// roundings of onnxruntime's QLinearAdd on AVX2: with signed zero points and
// values, fma(a, ra, fma(b, rb, fixed)), ra = a.Scale/y.Scale, rb =
// b.Scale/y.Scale, fixed = zy - (ra*za + rb*zb), rounded half to even.
type Add8 struct{ binary8 }

// NewAdd8 prepares a sum.
func NewAdd8(a, b, y Affine8, lo, hi int32) Add8 {
	ra, rb := a.Scale/y.Scale, b.Scale/y.Scale
	za, zb, zy := float32(a.Zero-a.Flip), float32(b.Zero-b.Flip), float32(y.Zero-y.Flip)
	fixed := zy - FMA32(ra, za, rb*zb)
	return Add8{binary8{scaleA: ra, scaleB: rb, fixed: fixed, lo: lo, hi: hi, flip: y.Flip}}
}

// FMA32 is x*y + z with one rounding.
func FMA32(x, y, z float32) float32 {
	p := float64(x) * float64(y) // exact
	c := float64(z)
	s := p + c
	// Round to odd, so that the second rounding is as if of the exact sum.
	t := s - p
	if e := (p - (s - t)) + (c - t); e != 0 && !math.IsInf(s, 0) {
		if b := math.Float64bits(s); b&1 == 0 {
			if (e > 0) == (s > 0) {
				s = math.Float64frombits(b + 1)
			} else {
				s = math.Float64frombits(b - 1)
			}
		}
	}
	return float32(s)
}

// Run computes n bytes.
func (k *Add8) Run(dst, a, b []byte) {
	n := add8Fast(&k.binary8, dst, a, b)
	for i := n; i < len(dst); i++ {
		x, y := float32(int32(a[i])-k.flip), float32(int32(b[i])-k.flip)
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
	return byte(min(max(int32(r)+k.flip, k.lo), k.hi))
}

// Mul8 is dst = a * b / y.Scale + zero point, as onnxruntime's QLinearMul
// rounds: float32((a-za)*(b-zb)) * (a.Scale*b.Scale/y.Scale) + zy.
type Mul8 struct{ binary8 }

// NewMul8 prepares a product.
func NewMul8(a, b, y Affine8, lo, hi int32) Mul8 {
	return Mul8{binary8{scaleA: a.Scale * b.Scale / y.Scale, fixed: float32(y.Zero - y.Flip), lo: lo, hi: hi, flip: y.Flip, zeroA: a.Zero, zeroB: b.Zero}}
}

// Run computes len(dst) bytes.
func (k *Mul8) Run(dst, a, b []byte) {
	n := mul8Fast(&k.binary8, dst, a, b)
	for i := n; i < len(dst); i++ {
		p := float32((int32(a[i])-k.zeroA)*(int32(b[i])-k.zeroB)) * k.scaleA
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
		dst[i] = float32(int32(x[i])-q.Zero) * q.Scale
	}
}

// ScaleSums is float32(sums) * scale.
func ScaleSums(dst []float32, sums []int32, scale []float32) {
	n := scale8Fast(dst, sums, scale)
	for i := n; i < len(dst); i++ {
		dst[i] = float32(sums[i]) * scale[i]
	}
}

// Widen8 is int16(x) - zero.
func Widen8(dst []int16, x []byte, zero int32) {
	n := widen8Fast(dst, x, zero)
	for i := n; i < len(dst); i++ {
		dst[i] = int16(int32(x[i]) - zero)
	}
}

// Table8 is dst = table[src]; they may be the same.
func Table8(dst, src []byte, table *[256]byte) {
	n := table8Fast(dst, src, table)
	for i := n; i < len(dst); i++ {
		dst[i] = table[src[i]]
	}
}

// Flip8 adds 128 to each byte: between signed values and how they are stored.
func Flip8(dst, src []byte) {
	n := len(dst) &^ 7
	for i := 0; i < n; i += 8 {
		*(*uint64)(unsafe.Pointer(&dst[i])) = *(*uint64)(unsafe.Pointer(&src[i])) ^ 0x8080808080808080
	}
	for i := n; i < len(dst); i++ {
		dst[i] = src[i] ^ 0x80
	}
}

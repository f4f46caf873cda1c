package kernel

import "math"

// IEEE 754 binary16 (float16): conversions round to the nearest, ties to even, beyond
// 65504 to infinity; a NaN keeps its sign and upper bits and is quiet.

// Widen is dst = src, codes of float16.
func Widen(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	i := 0
	if useAVX2 {
		i = widenVectors(dst, src)
	}
	for ; i < len(src); i++ {
		dst[i] = fromHalf(src[i])
	}
}

// Narrow is dst = src, as codes of float16.
func Narrow(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	i := 0
	if useAVX2 {
		i = narrowVectors(dst, src)
	}
	for ; i < len(src); i++ {
		dst[i] = toHalf(src[i])
	}
}

func toHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign, mag := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case mag > 0x7f800000:
		return sign | 0x7e00 | uint16(mag>>13)&0x3ff
	case mag >= 0x47800000: // 2^16
		return sign | 0x7c00
	case mag >= 0x38800000: // 2^-14: the exponent takes the carry of the mantissa
		return sign | uint16((mag-0x38000000+0xfff+mag>>13&1)>>13)
	}
	// The unit of 1/2 in float32 is the unit of float16 below 2^-14: 2^-24.
	return sign | uint16(math.Float32bits(math.Float32frombits(mag)+0.5)-math.Float32bits(0.5))
}

func fromHalf(h uint16) float32 {
	sign, mag := uint32(h&0x8000)<<16, uint32(h&0x7fff)
	switch {
	case mag > 0x7c00:
		return math.Float32frombits(sign | 0x7fc00000 | mag<<13)
	case mag == 0x7c00:
		return math.Float32frombits(sign | 0x7f800000)
	case mag >= 0x400:
		return math.Float32frombits(sign | mag<<13 + 0x38000000)
	}
	return math.Float32frombits(sign | math.Float32bits(float32(mag)*(1.0/(1<<24))))
}

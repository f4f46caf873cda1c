//go:build amd64 && !noasm

package kernel

import (
	"slices"
	"unsafe"
)

// The fast functions compute the first elements and return how many.

func add8Fast(k *binary8, dst, a, b []byte) int {
	n := len(dst)
	_, _ = a[:n], b[:n]
	p := (*byte)(unsafe.Pointer(k))
	switch {
	case useAVX512 && n >= 16:
		add8Wide(p, &dst[0], &a[0], &b[0], n&^15)
		return n &^ 15
	case useAVX2 && n >= 8:
		add8(p, &dst[0], &a[0], &b[0], n&^7)
		return n &^ 7
	}
	return 0
}

func mul8Fast(k *binary8, dst, a, b []byte) int {
	n := len(dst)
	_, _ = a[:n], b[:n]
	p := (*byte)(unsafe.Pointer(k))
	switch {
	case useAVX512 && n >= 16:
		mul8Wide(p, &dst[0], &a[0], &b[0], n&^15)
		return n &^ 15
	case useAVX2 && n >= 8:
		mul8(p, &dst[0], &a[0], &b[0], n&^7)
		return n &^ 7
	}
	return 0
}

func quantize8Fast(dst []byte, x []float32, q Affine8, lo, hi int32) int {
	n := len(dst)
	_ = x[:n]
	switch {
	case useAVX512 && n >= 16:
		quantize8Wide(&dst[0], &x[0], n&^15, q.Scale, float32(lo-q.Zero), float32(hi-q.Zero), q.Zero+q.flip(), q.flip())
		return n &^ 15
	case useAVX2 && n >= 8:
		quantize8(&dst[0], &x[0], n&^7, q.Scale, float32(lo-q.Zero), float32(hi-q.Zero), q.Zero+q.flip(), q.flip())
		return n &^ 7
	}
	return 0
}

func dequantize8Fast(dst []float32, x []byte, q Affine8) int {
	n := len(dst)
	_ = x[:n]
	switch {
	case useAVX512 && n >= 16:
		dequantize8Wide(&dst[0], &x[0], n&^15, q.Scale, q.Zero+q.flip(), q.flip())
		return n &^ 15
	case useAVX2 && n >= 8:
		dequantize8(&dst[0], &x[0], n&^7, q.Scale, q.Zero+q.flip(), q.flip())
		return n &^ 7
	}
	return 0
}

func scale8Fast(dst []float32, sums []int32, scale, shift []float32) int {
	n := len(dst)
	_, _, _ = sums[:n], scale[:n], shift[:n]
	switch {
	case useAVX512 && n >= 16:
		scale8Wide(&dst[0], &sums[0], &scale[0], &shift[0], n&^15)
		return n &^ 15
	case useAVX2 && n >= 8:
		scale8(&dst[0], &sums[0], &scale[0], &shift[0], n&^7)
		return n &^ 7
	}
	return 0
}

func widen8Fast(dst []int16, x []byte, zero, flip int32) int {
	n := len(dst)
	_ = x[:n]
	if !useAVX2 || n < 16 {
		return 0
	}
	widen8(&dst[0], &x[0], n&^15, int16(zero), int16(flip))
	return n &^ 15
}

func table8Fast(dst, src []byte, table *[256]byte) int {
	n := len(dst)
	_ = src[:n]
	if !useVBMI || n < 64 {
		return 0
	}
	table8(&dst[0], &src[0], &table[0], n&^63)
	return n &^ 63
}

func sum8Fast(b []byte, flip byte) (sum int32, n int) {
	if !useAVX2 || len(b) < 32 {
		return 0, 0
	}
	n = len(b) &^ 31
	return sum8(&b[0], n, uint32(flip)*0x01010101), n
}

func boundsFast(x []float32) (lo, hi float32, n int) {
	if !useAVX2 || len(x) < 16 {
		return 0, 0, 0
	}
	n = len(x) &^ 15
	var a, b [8]float32
	bounds8(&x[0], n, &a[0], &b[0])
	return slices.Min(a[:]), slices.Max(b[:]), n
}

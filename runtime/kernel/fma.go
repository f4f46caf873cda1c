//go:build !arm64

package kernel

import "math"

// FMA32 is x*y + z with one rounding, as the instruction gives it.
func FMA32(x, y, z float32) float32 {
	s := float64(x)*float64(y) + float64(z) // the product is exact
	// The rounding of s to float32 is that of the exact sum unless s lies between
	// two float32 in the middle, or is denormal, where other bits decide.
	if b := math.Float64bits(s); b<<35 == 1<<63 || b<<1-1 < (1023-126)<<53 {
		return fmaToOdd(x, y, z)
	}
	return float32(s)
}

// axpy is y = x*a + y, each sum with one rounding.
func axpy(y []float32, x float32, a []float32) {
	a = a[:len(y)]
	v := float64(x)
	for i, z := range y {
		s := v*float64(a[i]) + float64(z)
		if b := math.Float64bits(s); b<<35 == 1<<63 || b<<1-1 < (1023-126)<<53 {
			y[i] = fmaToOdd(x, a[i], z)
			continue
		}
		y[i] = float32(s)
	}
}

// fmaToOdd rounds the sum to odd first, so that the second rounding is as if of
// the exact sum (Boldo and Melquiond, 2008).
func fmaToOdd(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	t := s - p
	if e := (p - (s - t)) + (c - t); e != 0 {
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

package kernel

import "math"

// The functions in plain Go: the approximations of the assembly, operation by
// operation, so that they give the same bits; _asm/float/elementwise.go is their twin.

// generic is Apply in plain Go.
func (f Function) generic(dst, src []float32) {
	for i, x := range src {
		dst[i] = f.at(x)
	}
}

func (f Function) at(x float32) float32 {
	switch f.Kind {
	case Exp:
		return exp(x)
	case Sigmoid:
		return 1 / onePlusExpNeg(x)
	case SiLU:
		return x / onePlusExpNeg(x)
	case Tanh:
		return tanh(x)
	case Erf:
		return erf(x)
	case Gelu:
		return half(x, erf(x*(math.Sqrt2/2)))
	case GeluTanh:
		const c = 0.7978845608028654 // sqrt(2/pi)
		return half(x, tanh(FMA32(0.044715*c, x*x, c)*x))
	case Relu:
		return greater(0, x)
	case HardSwish:
		return clamp(FMA32(1.0/6, x, 0.5), 0, 1) * x
	case Sqrt:
		return float32(math.Sqrt(float64(x)))
	case Abs:
		return float32(math.Abs(float64(x)))
	case Neg:
		return -x
	case Reciprocal:
		return 1 / x
	case Half:
		return fromHalf(toHalf(x))
	case Leaky:
		return FMA32(f.A, lesser(0, x), greater(0, x))
	case Line:
		return clamp(FMA32(f.A, x, f.B), f.Lo, f.Hi)
	}
	return x
}

// greater is the instruction's maximum: b unless a is greater, so b if either is
// no number and of two zeros.
func greater(a, b float32) float32 {
	if a > b {
		return a
	}
	return b
}

// lesser is the instruction's minimum.
func lesser(a, b float32) float32 {
	if a < b {
		return a
	}
	return b
}

// clamp bounds x; NaN stays.
func clamp(x, lo, hi float32) float32 { return lesser(hi, greater(lo, x)) }

// horner is the polynomial with these coefficients, highest power first.
func horner(x float32, c ...float32) float32 {
	p := c[0]
	for _, a := range c[1:] {
		p = FMA32(p, x, a)
	}
	return p
}

// exp: x = n*ln2 + r, |r| <= ln2/2; e^r by a polynomial (Cephes expf), then
// times 2^n, rounded once.
func exp(x float32) float32 {
	x = clamp(x, -104, 89)
	n := float32(math.RoundToEven(float64(x * math.Log2E)))
	r := FMA32(-n, 0.693359375, x)
	r = FMA32(-n, -2.12194440e-4, r)
	p := horner(r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	p = FMA32(p, r*r, r) + 1
	return float32(float64(p) * power2(n))
}

// power2 is 2^n of a whole n in the range of float64.
func power2(n float32) float64 { return math.Float64frombits(uint64(1023+int64(n)) << 52) }

// onePlusExpNeg is 1 + 2^t, t = -x*log2(e), as 2^(t - n), n = t to the nearest, which is exact, by a
// minimax polynomial with error 2e-9, times 2^n; the rounding of t costs |x|*6e-8 of e^-x.
func onePlusExpNeg(x float32) float32 {
	t := clamp(x*-math.Log2E, -126, 128)
	n := float32(math.RoundToEven(float64(t)))
	p := horner(t-n, 1.5353361868448057e-4, 1.3398874415026106e-3, 9.618437357846576e-3, 5.550332471123707e-2, 0.24022647913627004, 0.6931472028550673, 1)
	return float32(float64(p)*power2(n)) + 1
}

// rational is x*P(x^2)/Q(x^2).
func rational(x float32, p, q []float32) float32 {
	return horner(x*x, p...) * x / horner(x*x, q...)
}

// tanh is a minimax rational approximation on [-9, 9].
func tanh(x float32) float32 {
	return rational(clamp(x, -9, 9),
		[]float32{-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03},
		[]float32{1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03})
}

// erf is a minimax rational approximation on [-4, 4].
func erf(x float32) float32 {
	y := rational(clamp(x, -4, 4),
		[]float32{-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02},
		[]float32{-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02})
	return clamp(y, -1, 1)
}

// half is x/2 * (1 + y).
func half(x, y float32) float32 { return FMA32(0.5*x, y, 0.5*x) }

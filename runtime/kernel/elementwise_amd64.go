//go:build !noasm

package kernel

// lanes is the numbers in a vector.
func lanes() int {
	if useAVX512 {
		return 16
	}
	return 8
}

// vectors is Apply; what is left of the last vector goes through a buffer.
func (f Function) vectors(dst, src []float32) {
	whole := len(src) &^ (lanes() - 1)
	if whole > 0 {
		f.call(&dst[0], &src[0], whole)
	}
	if whole < len(src) {
		var b [16]float32
		copy(b[:], src[whole:])
		f.call(&b[0], &b[0], lanes())
		copy(dst[whole:], b[:])
	}
}

func (f Function) call(dst, src *float32, n int) {
	if f.Kind == Line {
		c := [4]float32{f.A, f.B, f.Lo, f.Hi}
		if useAVX512 {
			lineAVX512(dst, src, &c[0], n)
		} else {
			lineAVX2(dst, src, &c[0], n)
		}
		return
	}
	if f.Kind == Leaky {
		if useAVX512 {
			leakyAVX512(dst, src, &f.A, n)
		} else {
			leakyAVX2(dst, src, &f.A, n)
		}
		return
	}
	if useAVX512 {
		f.call512(dst, src, n)
		return
	}
	switch f.Kind {
	case Exp:
		expAVX2(dst, src, n)
	case Sigmoid:
		sigmoidAVX2(dst, src, n)
	case SiLU:
		siluAVX2(dst, src, n)
	case Tanh:
		tanhAVX2(dst, src, n)
	case Erf:
		erfAVX2(dst, src, n)
	case Gelu:
		geluAVX2(dst, src, n)
	case GeluTanh:
		geluTanhAVX2(dst, src, n)
	case Relu:
		reluAVX2(dst, src, n)
	case HardSwish:
		hardSwishAVX2(dst, src, n)
	case Sqrt:
		sqrtAVX2(dst, src, n)
	case Abs:
		absAVX2(dst, src, n)
	case Neg:
		negAVX2(dst, src, n)
	case Reciprocal:
		reciprocalAVX2(dst, src, n)
	case Half:
		halfAVX2(dst, src, n)
	}
}

func (f Function) call512(dst, src *float32, n int) {
	switch f.Kind {
	case Exp:
		expAVX512(dst, src, n)
	case Sigmoid:
		sigmoidAVX512(dst, src, n)
	case SiLU:
		siluAVX512(dst, src, n)
	case Tanh:
		tanhAVX512(dst, src, n)
	case Erf:
		erfAVX512(dst, src, n)
	case Gelu:
		geluAVX512(dst, src, n)
	case GeluTanh:
		geluTanhAVX512(dst, src, n)
	case Relu:
		reluAVX512(dst, src, n)
	case HardSwish:
		hardSwishAVX512(dst, src, n)
	case Sqrt:
		sqrtAVX512(dst, src, n)
	case Abs:
		absAVX512(dst, src, n)
	case Neg:
		negAVX512(dst, src, n)
	case Reciprocal:
		reciprocalAVX512(dst, src, n)
	case Half:
		halfAVX512(dst, src, n)
	}
}

func (o Binary) vectors(dst, a, b []float32) {
	whole := len(a) &^ (lanes() - 1)
	if whole > 0 {
		o.call(&dst[0], &a[0], &b[0], whole)
	}
	o.generic(dst[whole:], a[whole:], b[whole:])
}

func (o Binary) call(dst, a, b *float32, n int) {
	switch {
	case o == Add && useAVX512:
		addAVX512(dst, a, b, n)
	case o == Sub && useAVX512:
		subAVX512(dst, a, b, n)
	case o == Mul && useAVX512:
		mulAVX512(dst, a, b, n)
	case o == Div && useAVX512:
		divAVX512(dst, a, b, n)
	case o == Add:
		addAVX2(dst, a, b, n)
	case o == Sub:
		subAVX2(dst, a, b, n)
	case o == Mul:
		mulAVX2(dst, a, b, n)
	case o == Div:
		divAVX2(dst, a, b, n)
	}
}

func affineVectors(dst, src, scale, shift []float32) int {
	n := len(src) &^ (lanes() - 1)
	switch {
	case n == 0:
	case useAVX512:
		affineAVX512(&dst[0], &src[0], &scale[0], &shift[0], n)
	default:
		affineAVX2(&dst[0], &src[0], &scale[0], &shift[0], n)
	}
	return n
}

// Each reduction covers whole steps of 16 and says how far it came.

func sumVectors(p *[16]float32, x []float32) int {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case useAVX512:
		sumAVX512(&p[0], &x[0], n)
	default:
		sumAVX2(&p[0], &x[0], n)
	}
	return n
}

func maxVectors(p *[16]float32, x []float32) int {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case useAVX512:
		maxAVX512(&p[0], &x[0], n)
	default:
		maxAVX2(&p[0], &x[0], n)
	}
	return n
}

func extremesVectors(p *[48]float32, x []float32) int {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case useAVX512:
		extremesAVX512(&p[0], &x[0], n)
	default:
		extremesAVX2(&p[0], &x[0], n)
	}
	return n
}

func minVectors(p *[16]float32, x []float32) int {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case useAVX512:
		minAVX512(&p[0], &x[0], n)
	default:
		minAVX2(&p[0], &x[0], n)
	}
	return n
}

func dotVectors(p *[16]float32, x, b []float32) int {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case useAVX512:
		dotAVX512(&p[0], &x[0], &b[0], n)
	default:
		dotAVX2(&p[0], &x[0], &b[0], n)
	}
	return n
}

func spreadVectors(p *[16]float32, x []float32, center float32) int {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case useAVX512:
		spreadAVX512(&p[0], &x[0], &center, n)
	default:
		spreadAVX2(&p[0], &x[0], &center, n)
	}
	return n
}

func expSumVectors(p *[16]float32, dst, x []float32, center float32) int {
	n := len(x) &^ 15
	switch {
	case n == 0:
	case useAVX512:
		expSumAVX512(&p[0], &dst[0], &x[0], &center, n)
	default:
		expSumAVX2(&p[0], &dst[0], &x[0], &center, n)
	}
	return n
}

func widenVectors(dst []float32, src []uint16) int {
	n := len(src) &^ (lanes() - 1)
	switch {
	case n == 0:
	case useAVX512:
		widenAVX512(&dst[0], &src[0], n)
	default:
		widenAVX2(&dst[0], &src[0], n)
	}
	return n
}

func narrowVectors(dst []uint16, src []float32) int {
	n := len(src) &^ (lanes() - 1)
	switch {
	case n == 0:
	case useAVX512:
		narrowAVX512(&dst[0], &src[0], n)
	default:
		narrowAVX2(&dst[0], &src[0], n)
	}
	return n
}

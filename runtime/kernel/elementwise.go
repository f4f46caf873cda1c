package kernel

import "math"

// Unary is a function of one number.
type Unary uint8

const (
	Copy Unary = iota
	Exp
	Sigmoid
	SiLU // x*sigmoid(x)
	Tanh
	Erf
	Gelu     // x/2 * (1 + erf(x/sqrt 2))
	GeluTanh // its approximation by tanh
	Relu
	HardSwish // x*max(0, min(1, x/6 + 1/2))
	Sqrt
	Abs
	Neg
	Reciprocal
	Half // rounded to float16
	// Leaky is x, times A of a Function where x is negative.
	Leaky
	// Line is max(Lo, min(Hi, A*x + B)) of a Function: scaling, Clip, HardSigmoid.
	Line
)

// Function is a unary function with the numbers that Line and Leaky take.
type Function struct {
	Kind         Unary
	A, B, Lo, Hi float32
}

// Clip is the function that bounds its argument; adding -0 keeps the sign of zeros.
func Clip(lo, hi float32) Function {
	return Function{Line, 1, float32(math.Copysign(0, -1)), lo, hi}
}

// Apply is dst = f(src); the slices can be the same.
func (f Function) Apply(dst, src []float32) {
	dst = dst[:len(src)]
	switch {
	case f.Kind == Copy:
		copy(dst, src)
	case useAVX2 && len(src) > 0:
		f.vectors(dst, src)
	default:
		f.generic(dst, src)
	}
}

// Binary is a function of two numbers.
type Binary uint8

const (
	Add Binary = iota
	Sub
	Mul
	Div
)

// Apply is dst[i] = a[i] op b[i]; the slices can be the same.
func (o Binary) Apply(dst, a, b []float32) {
	dst, b = dst[:len(a)], b[:len(a)]
	if useAVX2 && len(a) > 0 {
		o.vectors(dst, a, b)
		return
	}
	o.generic(dst, a, b)
}

func (o Binary) generic(dst, a, b []float32) {
	switch o {
	case Add:
		for i := range a {
			dst[i] = a[i] + b[i]
		}
	case Sub:
		for i := range a {
			dst[i] = a[i] - b[i]
		}
	case Mul:
		for i := range a {
			dst[i] = a[i] * b[i]
		}
	case Div:
		for i := range a {
			dst[i] = a[i] / b[i]
		}
	}
}

// Affine is dst[i] = src[i]*scale[i] + shift[i].
func Affine(dst, src, scale, shift []float32) {
	dst, scale, shift = dst[:len(src)], scale[:len(src)], shift[:len(src)]
	i := 0
	if useAVX2 {
		i = affineVectors(dst, src, scale, shift)
	}
	for ; i < len(src); i++ {
		dst[i] = FMA32(src[i], scale[i], shift[i])
	}
}

// Reductions add in 16 interleaved parts, whatever the instruction set, and
// then the parts pairwise.

func fold(p *[16]float32) float32 {
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			p[i] += p[i+n]
		}
	}
	return p[0]
}

// Sum is the sum of x.
func Sum(x []float32) float32 {
	var p [16]float32
	i := 0
	if useAVX2 {
		i = sumVectors(&p, x)
	}
	for ; i < len(x); i++ {
		p[i%16] += x[i]
	}
	return fold(&p)
}

// Dot is the sum of a[i]*b[i].
func Dot(a, b []float32) float32 {
	b = b[:len(a)]
	var p [16]float32
	i := 0
	if useAVX2 {
		i = dotVectors(&p, a, b)
	}
	for ; i < len(a); i++ {
		p[i%16] = FMA32(a[i], b[i], p[i%16])
	}
	return fold(&p)
}

// Spread is the sum of (x[i] - center)^2.
func Spread(x []float32, center float32) float32 {
	var p [16]float32
	i := 0
	if useAVX2 {
		i = spreadVectors(&p, x, center)
	}
	for ; i < len(x); i++ {
		d := x[i] - center
		p[i%16] = FMA32(d, d, p[i%16])
	}
	return fold(&p)
}

// Max is the largest of x, -Inf of none.
func Max(x []float32) float32 {
	p, i := parts(float32(math.Inf(-1))), 0
	if useAVX2 {
		i = maxVectors(&p, x)
	}
	for ; i < len(x); i++ {
		p[i%16] = greater(p[i%16], x[i])
	}
	largest := p[0]
	for _, v := range p[1:] {
		largest = max(largest, v)
	}
	return largest
}

// Min is the smallest of x, +Inf of none.
func Min(x []float32) float32 {
	p, i := parts(float32(math.Inf(1))), 0
	if useAVX2 {
		i = minVectors(&p, x)
	}
	for ; i < len(x); i++ {
		p[i%16] = lesser(p[i%16], x[i])
	}
	smallest := p[0]
	for _, v := range p[1:] {
		smallest = min(smallest, v)
	}
	return smallest
}

// Extremes is the least and the greatest of x, +Inf and -Inf of none, and whether all
// are finite; if not, lo and hi mean nothing.
func Extremes(x []float32) (lo, hi float32, finite bool) {
	var p [48]float32
	lo, hi, finite = float32(math.Inf(1)), float32(math.Inf(-1)), true
	i := 0
	if useAVX2 {
		i = extremesVectors(&p, x)
	}
	if i > 0 {
		for k := range 16 {
			lo, hi = min(lo, p[k]), max(hi, p[16+k])
			finite = finite && math.Float32bits(p[32+k]) == 0
		}
	}
	for _, v := range x[i:] {
		lo, hi = min(lo, v), max(hi, v)
		finite = finite && v-v == 0
	}
	return lo, hi, finite
}

func parts(v float32) (p [16]float32) {
	for i := range p {
		p[i] = v
	}
	return p
}

// ExpSum is dst = exp(src - center) and returns the sum of dst.
func ExpSum(dst, src []float32, center float32) float32 {
	dst = dst[:len(src)]
	var p [16]float32
	i := 0
	if useAVX2 {
		i = expSumVectors(&p, dst, src, center)
	}
	if i < len(src) {
		for j, x := range src[i:] {
			dst[i+j] = x - center
		}
		Function{Kind: Exp}.Apply(dst[i:], dst[i:])
		for j, e := range dst[i:] {
			p[j%16] += e
		}
	}
	return fold(&p)
}

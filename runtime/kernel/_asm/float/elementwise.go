package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// constants holds each constant of the pool, 16 times over, so that it is a
// memory operand of any width.
var constants = map[uint32]Mem{}

func bits(b uint32) Mem {
	if m, ok := constants[b]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("float%08x", b), RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(b))
	}
	constants[b] = m
	return m
}

func f32(x float64) Mem { return bits(math.Float32bits(float32(x))) }

// unary is dst[i] = f(src[i]) for whole vectors; ../../functions.go is the same in Go,
// operation by operation.
var unary = []struct {
	name string
	f    func(v isa, x reg.VecVirtual) reg.VecVirtual
}{
	{"exp", exp},
	{"sigmoid", sigmoid},
	{"silu", silu},
	{"tanh", tanh},
	{"erf", erf},
	{"gelu", gelu},
	{"geluTanh", geluTanh},
	{"relu", func(v isa, x reg.VecVirtual) reg.VecVirtual {
		y := v.zero()
		VMAXPS(x, y, y) // NaN stays: x is the second operand
		return y
	}},
	{"hardSwish", hardSwish},
	{"sqrt", func(v isa, x reg.VecVirtual) reg.VecVirtual {
		y := v.reg()
		VSQRTPS(x, y)
		return y
	}},
	{"abs", func(v isa, x reg.VecVirtual) reg.VecVirtual {
		y := v.reg()
		VANDPS(bits(0x7fffffff), x, y)
		return y
	}},
	{"neg", func(v isa, x reg.VecVirtual) reg.VecVirtual {
		y := v.reg()
		VXORPS(bits(0x80000000), x, y)
		return y
	}},
	{"reciprocal", func(v isa, x reg.VecVirtual) reg.VecVirtual {
		y := v.constant(f32(1))
		VDIVPS(x, y, y)
		return y
	}},
	{"half", func(v isa, x reg.VecVirtual) reg.VecVirtual {
		h, y := v.halves(), v.reg()
		VCVTPS2PH(Imm(0), x, h)
		VCVTPH2PS(h, y)
		return y
	}},
}

// binary is dst[i] = f(a[i], b[i]).
var binary = []struct {
	name string
	f    func(b, a, dst Op)
}{
	{"add", func(b, a, d Op) { VADDPS(b, a, d) }},
	{"sub", func(b, a, d Op) { VSUBPS(b, a, d) }},
	{"mul", func(b, a, d Op) { VMULPS(b, a, d) }},
	{"div", func(b, a, d Op) { VDIVPS(b, a, d) }},
}

func elementwise(v isa) {
	for _, u := range unary {
		start(u.name+v.name, "func(dst, src *float32, n int)")
		dst, src, n := arg("dst"), arg("src"), arg("n")
		v.loop(n, []reg.GPVirtual{dst, src}, v.bytes(), func() {
			x := v.reg()
			VMOVUPS(Mem{Base: src}, x)
			VMOVUPS(u.f(v, x), Mem{Base: dst})
		})
		end()
	}
	for _, b := range binary {
		start(b.name+v.name, "func(dst, a, b *float32, n int)")
		dst, x, y, n := arg("dst"), arg("a"), arg("b"), arg("n")
		v.loop(n, []reg.GPVirtual{dst, x, y}, v.bytes(), func() {
			r := v.reg()
			VMOVUPS(Mem{Base: x}, r)
			b.f(Mem{Base: y}, r, r)
			VMOVUPS(r, Mem{Base: dst})
		})
		end()
	}
	affine(v)
	reductions(v)
	conversions(v)
}

// conversions is dst = src between float16 and float32.
func conversions(v isa) {
	for _, wide := range []bool{true, false} {
		name, signature, to, from := "widen", "func(dst *float32, src *uint16, n int)", v.bytes(), v.bytes()/2
		if !wide {
			name, signature, to, from = "narrow", "func(dst *uint16, src *float32, n int)", from, to
		}
		start(name+v.name, signature)
		dst, src, n := arg("dst"), arg("src"), arg("n")
		Label("loop")
		x, h := v.reg(), v.halves()
		if wide {
			VCVTPH2PS(Mem{Base: src}, x)
			VMOVUPS(x, Mem{Base: dst})
		} else {
			VMOVUPS(Mem{Base: src}, x)
			VCVTPS2PH(Imm(0), x, h)
			VMOVUPS(h, Mem{Base: dst})
		}
		ADDQ(Imm(uint64(to)), dst)
		ADDQ(Imm(uint64(from)), src)
		SUBQ(Imm(uint64(v.lanes)), n)
		JNZ(LabelRef("loop"))
		end()
	}
}

// halves is a register for as many float16 as a vector has numbers.
func (v isa) halves() reg.VecVirtual {
	if v.lanes == 16 {
		return YMM()
	}
	return XMM()
}

func start(name, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
}

func arg(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

func end() {
	VZEROUPPER()
	RET()
}

// loop runs body over n elements, a positive multiple of step/4, and advances
// the pointers.
func (v isa) loop(n reg.GPVirtual, pointers []reg.GPVirtual, step int, body func()) {
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(uint64(step)), p)
	}
	SUBQ(Imm(uint64(step/4)), n)
	JNZ(LabelRef("loop"))
}

func (v isa) constant(m Mem) reg.VecVirtual {
	r := v.reg()
	VMOVUPS(m, r)
	return r
}

// clamp bounds x; NaN stays.
func clamp(v isa, x reg.VecVirtual, lo, hi Mem) reg.VecVirtual {
	y := v.constant(lo)
	VMAXPS(x, y, y)
	z := v.constant(hi)
	VMINPS(y, z, z)
	return z
}

// horner is the polynomial with these coefficients, highest power first.
func horner(v isa, x reg.VecVirtual, c ...float64) reg.VecVirtual {
	p := v.constant(f32(c[0]))
	for _, a := range c[1:] {
		VFMADD213PS(f32(a), x, p)
	}
	return p
}

// exp: x = n*ln2 + r, |r| <= ln2/2; e^r by a polynomial (Cephes expf), then
// times 2^n in two steps, so that overflow and denormals come out right.
func exp(v isa, x reg.VecVirtual) reg.VecVirtual {
	x = clamp(v, x, f32(-104), f32(89))
	n := v.reg()
	VMULPS(f32(math.Log2E), x, n)
	if v.lanes == 16 {
		VRNDSCALEPS(Imm(8), n, n)
	} else {
		VROUNDPS(Imm(8), n, n)
	}
	r := v.reg()
	VMOVUPS(x, r)
	VFNMADD231PS(f32(0.693359375), n, r)
	VFNMADD231PS(f32(-2.12194440e-4), n, r)
	p := horner(v, r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	r2 := v.reg()
	VMULPS(r, r, r2)
	VFMADD213PS(r, r2, p)
	VADDPS(f32(1), p, p)
	if v.lanes == 16 {
		VSCALEFPS(n, p, p)
		return p
	}
	i, h := v.reg(), v.reg()
	VCVTPS2DQ(n, i)
	VPSRAD(Imm(1), i, h)
	VPSUBD(h, i, i)
	for _, e := range []reg.VecVirtual{h, i} {
		VPADDD(bits(127), e, e)
		VPSLLD(Imm(23), e, e)
		VMULPS(e, p, p)
	}
	return p
}

// sigmoid is 1/(1 + e^-x).
func sigmoid(v isa, x reg.VecVirtual) reg.VecVirtual {
	y := v.constant(f32(1))
	VDIVPS(onePlusExpNeg(v, x), y, y)
	return y
}

// silu is x/(1 + e^-x).
func silu(v isa, x reg.VecVirtual) reg.VecVirtual {
	y := v.reg()
	VDIVPS(onePlusExpNeg(v, x), x, y)
	return y
}

// onePlusExpNeg is 1 + 2^t, t = -x*log2(e), as 2^(t - n), n = t to the nearest, which is exact, by a
// minimax polynomial with error 2e-9, times 2^n; the rounding of t costs |x|*6e-8 of e^-x.
func onePlusExpNeg(v isa, x reg.VecVirtual) reg.VecVirtual {
	t, f, n := v.reg(), v.reg(), v.reg()
	VMULPS(f32(-math.Log2E), x, t)
	if v.lanes == 16 {
		VRNDSCALEPS(Imm(8), t, n)
		VREDUCEPS(Imm(0), t, f) // t - n, 0 where both are infinite
	} else {
		t = clamp(v, t, f32(-126), f32(128)) // below the sum is 1, above infinite
		VROUNDPS(Imm(8), t, n)
		VSUBPS(n, t, f)
	}
	p := horner(v, f, 1.5353361868448057e-4, 1.3398874415026106e-3, 9.618437357846576e-3, 5.550332471123707e-2, 0.24022647913627004, 0.6931472028550673, 1)
	if v.lanes == 16 {
		VSCALEFPS(n, p, p)
	} else { // 2p * 2^(n-1), as 2^128 has no bits
		VADDPS(p, p, p)
		VCVTPS2DQ(n, n)
		VPADDD(bits(126), n, n)
		VPSLLD(Imm(23), n, n)
		VMULPS(n, p, p)
	}
	VADDPS(f32(1), p, p)
	return p
}

func hardSwish(v isa, x reg.VecVirtual) reg.VecVirtual {
	y := v.constant(f32(0.5))
	VFMADD231PS(f32(1.0/6), x, y)
	y = clamp(v, y, f32(0), f32(1))
	VMULPS(x, y, y)
	return y
}

// rational is x*P(x^2)/Q(x^2).
func rational(v isa, x reg.VecVirtual, p, q []float64) reg.VecVirtual {
	x2 := v.reg()
	VMULPS(x, x, x2)
	y := horner(v, x2, p...)
	VMULPS(x, y, y)
	VDIVPS(horner(v, x2, q...), y, y)
	return y
}

// tanh is a minimax rational approximation on [-9, 9].
func tanh(v isa, x reg.VecVirtual) reg.VecVirtual {
	return rational(v, clamp(v, x, f32(-9), f32(9)),
		[]float64{-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03},
		[]float64{1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03})
}

// erf is a minimax rational approximation on [-4, 4].
func erf(v isa, x reg.VecVirtual) reg.VecVirtual {
	y := rational(v, clamp(v, x, f32(-4), f32(4)),
		[]float64{-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02},
		[]float64{-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02})
	return clamp(v, y, f32(-1), f32(1))
}

// gelu is x/2 * (1 + erf(x/sqrt 2)).
func gelu(v isa, x reg.VecVirtual) reg.VecVirtual {
	s := v.reg()
	VMULPS(f32(math.Sqrt2/2), x, s)
	return half(v, x, erf(v, s))
}

// geluTanh is x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715*x^3))).
func geluTanh(v isa, x reg.VecVirtual) reg.VecVirtual {
	s := v.reg()
	VMULPS(x, x, s)
	c := v.constant(f32(math.Sqrt(2 / math.Pi)))
	VFMADD231PS(f32(0.044715*math.Sqrt(2/math.Pi)), s, c)
	VMULPS(x, c, c)
	return half(v, x, tanh(v, c))
}

func half(v isa, x, y reg.VecVirtual) reg.VecVirtual {
	h := v.reg()
	VMULPS(f32(0.5), x, h)
	VFMADD213PS(h, h, y) // h*y + h
	return y
}

// affine is dst = src*scale + shift, with vectors or with one number each.
func affine(v isa) {
	start("affine"+v.name, "func(dst, src, scale, shift *float32, n int)")
	dst, src, scale, shift, n := arg("dst"), arg("src"), arg("scale"), arg("shift"), arg("n")
	v.loop(n, []reg.GPVirtual{dst, src, scale, shift}, v.bytes(), func() {
		x, w := v.reg(), v.reg()
		VMOVUPS(Mem{Base: src}, x)
		VMOVUPS(Mem{Base: scale}, w)
		VFMADD213PS(Mem{Base: shift}, w, x)
		VMOVUPS(x, Mem{Base: dst})
	})
	end()
	// lo <= src*scale + shift <= hi
	start("line"+v.name, "func(dst, src, coefficients *float32, n int)")
	dst, src, c, n := arg("dst"), arg("src"), arg("coefficients"), arg("n")
	var k [4]reg.VecVirtual
	for i := range k {
		k[i] = v.broadcast(field(c, 4*i))
	}
	v.loop(n, []reg.GPVirtual{dst, src}, v.bytes(), func() {
		x := v.reg()
		VMOVUPS(Mem{Base: src}, x)
		VFMADD213PS(k[1], k[0], x)
		VMAXPS(x, k[2], x)
		VMINPS(x, k[3], x)
		VMOVUPS(x, Mem{Base: dst})
	})
	end()
	// slope*min(0, src) + max(0, src)
	start("leaky"+v.name, "func(dst, src, slope *float32, n int)")
	dst, src, c, n = arg("dst"), arg("src"), arg("slope"), arg("n")
	slope := v.broadcast(field(c, 0))
	zero := v.zero()
	v.loop(n, []reg.GPVirtual{dst, src}, v.bytes(), func() {
		x, negative, y := v.reg(), v.reg(), v.reg()
		VMOVUPS(Mem{Base: src}, x)
		VMINPS(x, zero, negative)
		VMAXPS(x, zero, y)
		VFMADD231PS(negative, slope, y)
		VMOVUPS(y, Mem{Base: dst})
	})
	end()
}

// reductions take 16 elements a step and leave 16 partial results, so that
// every instruction set adds in the same order.
func reductions(v isa) {
	parts := 16 / v.lanes
	reduce := func(name, signature string, first Mem, inputs []string, body func(acc reg.VecVirtual, part int, in []reg.GPVirtual)) {
		start(name+v.name, signature)
		partial, n := arg("partial"), arg("n")
		var in []reg.GPVirtual
		for _, name := range inputs {
			in = append(in, arg(name))
		}
		acc := make([]reg.VecVirtual, parts)
		for i := range acc {
			acc[i] = v.constant(first)
		}
		v.loop(n, in, 64, func() {
			for i := range acc {
				body(acc[i], i*v.bytes(), in)
			}
		})
		for i := range acc {
			VMOVUPS(acc[i], Mem{Base: partial, Disp: i * v.bytes()})
		}
		end()
	}
	at := func(p reg.Register, disp int) Mem { return Mem{Base: p, Disp: disp} }
	reduce("sum", "func(partial, src *float32, n int)", f32(0), []string{"src"}, func(acc reg.VecVirtual, d int, in []reg.GPVirtual) {
		VADDPS(at(in[0], d), acc, acc)
	})
	reduce("max", "func(partial, src *float32, n int)", f32(math.Inf(-1)), []string{"src"}, func(acc reg.VecVirtual, d int, in []reg.GPVirtual) {
		VMAXPS(at(in[0], d), acc, acc)
	})
	reduce("min", "func(partial, src *float32, n int)", f32(math.Inf(1)), []string{"src"}, func(acc reg.VecVirtual, d int, in []reg.GPVirtual) {
		VMINPS(at(in[0], d), acc, acc)
	})
	reduce("dot", "func(partial, a, b *float32, n int)", f32(0), []string{"a", "b"}, func(acc reg.VecVirtual, d int, in []reg.GPVirtual) {
		x := v.reg()
		VMOVUPS(at(in[0], d), x)
		VFMADD231PS(at(in[1], d), x, acc)
	})
	extremes(v)
	// sum of (src - center)^2
	var center reg.VecVirtual
	reduce("spread", "func(partial, src, center *float32, n int)", f32(0), []string{"src"}, func(acc reg.VecVirtual, d int, in []reg.GPVirtual) {
		center = v.reg()
		VBROADCASTSS(Mem{Base: arg("center")}, center)
		x := v.reg()
		VMOVUPS(at(in[0], d), x)
		VSUBPS(center, x, x)
		VFMADD231PS(x, x, acc)
	})
	// dst = exp(src - center), and their sum
	reduce("expSum", "func(partial, dst, src, center *float32, n int)", f32(0), []string{"dst", "src"}, func(acc reg.VecVirtual, d int, in []reg.GPVirtual) {
		center = v.reg()
		VBROADCASTSS(Mem{Base: arg("center")}, center)
		x := v.reg()
		VMOVUPS(at(in[1], d), x)
		VSUBPS(center, x, x)
		e := exp(v, x)
		VMOVUPS(e, at(in[0], d))
		VADDPS(e, acc, acc)
	})
}

// extremes leaves, of 16 elements a step, the least in 16 parts, the greatest in the 16 after
// them, and x-x of all ORed in the last 16: not zero where one is NaN or infinite.
func extremes(v isa) {
	start("extremes"+v.name, "func(partial, src *float32, n int)")
	partial, src, n := arg("partial"), arg("src"), arg("n")
	type part struct{ least, greatest, odd reg.VecVirtual }
	parts := make([]part, 16/v.lanes)
	for i := range parts {
		parts[i] = part{v.constant(f32(math.Inf(1))), v.constant(f32(math.Inf(-1))), v.zero()}
	}
	v.loop(n, []reg.GPVirtual{src}, 64, func() {
		for i, p := range parts {
			x, d := v.reg(), v.reg()
			VMOVUPS(Mem{Base: src, Disp: i * v.bytes()}, x)
			VMINPS(x, p.least, p.least)
			VMAXPS(x, p.greatest, p.greatest)
			VSUBPS(x, x, d)
			VORPS(d, p.odd, p.odd)
		}
	})
	for i, p := range parts {
		for k, r := range []reg.VecVirtual{p.least, p.greatest, p.odd} {
			VMOVUPS(r, Mem{Base: partial, Disp: 64*k + i*v.bytes()})
		}
	}
	end()
}

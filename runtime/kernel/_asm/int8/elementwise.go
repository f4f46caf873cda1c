package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lanes is a vector of 32-bit lanes.
type lanes struct {
	name string
	n    int
	vec  func() reg.VecVirtual
}

var lane16 = lanes{"Wide", 16, func() reg.VecVirtual { return ZMM() }}
var lane8 = lanes{"", 8, func() reg.VecVirtual { return YMM() }}

// Offsets of the fields of kernel.binary8, to which t points. Bytes are taken
// as b ^ flip, from 0 to 255, and are then flip more than they mean.
const (
	binScaleA = 4 * iota
	binScaleB
	binFixed
	binLo
	binHi
	binFlip
	binZeroA
	binZeroB
)

// binary generates dst = round(f(a, b)) on bytes, n of them a multiple of the
// lanes.
func binary(l lanes, name string, f func(t reg.Register) func(a, b reg.VecVirtual) reg.VecVirtual) {
	TEXT(name+l.name, NOSPLIT, "func(t *byte, dst, a, b *byte, n int)")
	Pragma("noescape")
	t := Load(Param("t"), GP64())
	dst := Load(Param("dst"), GP64())
	a := Load(Param("a"), GP64())
	b := Load(Param("b"), GP64())
	n := Load(Param("n"), GP64())
	lo, hi, flip := l.broadcast(t, binLo), l.broadcast(t, binHi), l.broadcast(t, binFlip)
	compute := f(t)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	load := func(p reg.Register) reg.VecVirtual {
		v := l.vec()
		VPMOVZXBD(Mem{Base: p, Index: i, Scale: 1}, v)
		l.xor(flip, v, v)
		return v
	}
	r := compute(load(a), load(b))
	VCVTPS2DQ(r, r)
	VPADDD(flip, r, r)
	VPMINSD(hi, r, r)
	VPMAXSD(lo, r, r)
	l.xor(flip, r, r)
	l.storeBytes(r, Mem{Base: dst, Index: i, Scale: 1})
	ADDQ(Imm(uint64(l.n)), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func (l lanes) broadcast(t reg.Register, offset int) reg.VecVirtual {
	v := l.vec()
	VBROADCASTSS(Mem{Base: t, Disp: offset}, v)
	return v
}

// xor is dst = a ^ b.
func (l lanes) xor(a, b, dst Op) {
	if l.n == 16 {
		VPXORD(a, b, dst)
		return
	}
	VPXOR(a, b, dst)
}

// storeBytes stores lanes that hold bytes.
func (l lanes) storeBytes(r reg.VecVirtual, m Mem) {
	if l.n == 16 {
		b := XMM()
		VPMOVDB(r, b)
		VMOVDQU(b, m)
		return
	}
	VPACKSSDW(r, r, r)
	VPERMQ(Imm(0xd8), r, r)
	VPACKUSWB(r, r, r)
	VMOVQ(r.AsX(), m)
}

// add8 is a*scaleA + (b*scaleB + fixed) with fused products.
func add8(l lanes) {
	binary(l, "add8", func(t reg.Register) func(a, b reg.VecVirtual) reg.VecVirtual {
		sa, sb, fixed, flip := l.broadcast(t, binScaleA), l.broadcast(t, binScaleB), l.broadcast(t, binFixed), l.broadcast(t, binFlip)
		return func(a, b reg.VecVirtual) reg.VecVirtual {
			for _, v := range []reg.VecVirtual{a, b} {
				VPSUBD(flip, v, v)
				VCVTDQ2PS(v, v)
			}
			VFMADD213PS(fixed, sb, b)
			VFMADD213PS(b, sa, a)
			return a
		}
	})
}

// mul8 is (a-zeroA)*(b-zeroB)*scaleA + fixed, rounded after each step.
func mul8(l lanes) {
	binary(l, "mul8", func(t reg.Register) func(a, b reg.VecVirtual) reg.VecVirtual {
		s, fixed, za, zb := l.broadcast(t, binScaleA), l.broadcast(t, binFixed), l.broadcast(t, binZeroA), l.broadcast(t, binZeroB)
		return func(a, b reg.VecVirtual) reg.VecVirtual {
			VPSUBD(za, a, a)
			VPSUBD(zb, b, b)
			VPMULLD(b, a, a)
			VCVTDQ2PS(a, a)
			VMULPS(s, a, a)
			VADDPS(fixed, a, a)
			return a
		}
	})
}

// quantize8 generates (round(x/scale) + zero) ^ flip, saturated.
func quantize8(l lanes) {
	TEXT("quantize8"+l.name, NOSPLIT, "func(dst *byte, x *float32, n int, scale, lo, hi float32, zero, flip int32)")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	param := func(name string) reg.VecVirtual {
		a, err := Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		v := l.vec()
		VBROADCASTSS(a.Addr, v)
		return v
	}
	scale, lo, hi, zero, flip := param("scale"), param("lo"), param("hi"), param("zero"), param("flip")
	i := GP64()
	XORQ(i, i)
	Label("loop")
	v := l.vec()
	VMOVUPS(Mem{Base: x, Index: i, Scale: 4}, v)
	VDIVPS(scale, v, v)
	VMAXPS(lo, v, v)
	VMINPS(hi, v, v)
	VCVTPS2DQ(v, v)
	VPADDD(zero, v, v)
	l.xor(flip, v, v)
	l.storeBytes(v, Mem{Base: dst, Index: i, Scale: 1})
	ADDQ(Imm(uint64(l.n)), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// dequantize8 generates ((q ^ flip) - zero) * scale.
func dequantize8(l lanes) {
	TEXT("dequantize8"+l.name, NOSPLIT, "func(dst *float32, q *byte, n int, scale float32, zero, flip int32)")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	q := Load(Param("q"), GP64())
	n := Load(Param("n"), GP64())
	s, _ := Param("scale").Resolve()
	z, _ := Param("zero").Resolve()
	f, _ := Param("flip").Resolve()
	scale, zero, flip := l.vec(), l.vec(), l.vec()
	VBROADCASTSS(s.Addr, scale)
	VBROADCASTSS(z.Addr, zero)
	VBROADCASTSS(f.Addr, flip)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	v := l.vec()
	VPMOVZXBD(Mem{Base: q, Index: i, Scale: 1}, v)
	l.xor(flip, v, v)
	VPSUBD(zero, v, v)
	VCVTDQ2PS(v, v)
	VMULPS(scale, v, v)
	VMOVUPS(v, Mem{Base: dst, Index: i, Scale: 4})
	ADDQ(Imm(uint64(l.n)), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// widen8 generates int16(q ^ flip) - zero, 16 at a time.
func widen8() {
	TEXT("widen8", NOSPLIT, "func(dst *int16, q *byte, n int, zero, flip int16)")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	q := Load(Param("q"), GP64())
	n := Load(Param("n"), GP64())
	z, _ := Param("zero").Resolve()
	f, _ := Param("flip").Resolve()
	zero, flip := YMM(), YMM()
	VPBROADCASTW(z.Addr, zero)
	VPBROADCASTW(f.Addr, flip)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	v := YMM()
	VPMOVZXBW(Mem{Base: q, Index: i, Scale: 1}, v)
	VPXOR(flip, v, v)
	VPSUBW(zero, v, v)
	VMOVUPS(v, Mem{Base: dst, Index: i, Scale: 2})
	ADDQ(Imm(16), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// table8 generates dst = table[src] for 256 entries, 64 bytes at a time: two
// lookups of 128 entries, chosen by the top bit (AVX512-VBMI).
func table8() {
	TEXT("table8", NOSPLIT, "func(dst, src, table *byte, n int)")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	table := Load(Param("table"), GP64())
	n := Load(Param("n"), GP64())
	var tab [4]reg.VecVirtual
	for i := range tab {
		tab[i] = ZMM()
		VMOVUPS(Mem{Base: table, Disp: 64 * i}, tab[i])
	}
	i := GP64()
	XORQ(i, i)
	Label("loop")
	x, y, k := ZMM(), ZMM(), K()
	VMOVUPS(Mem{Base: src, Index: i, Scale: 1}, x)
	VPMOVB2M(x, k)
	VMOVAPS(x, y)
	VPERMI2B(tab[1], tab[0], x)
	VPERMI2B(tab[3], tab[2], y)
	VPBLENDMB(y, x, k, x)
	VMOVUPS(x, Mem{Base: dst, Index: i, Scale: 1})
	ADDQ(Imm(64), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// scale8 generates float32(sum)*scale + shift for a row of sums.
func scale8(l lanes) {
	TEXT(fmt.Sprintf("scale8%s", l.name), NOSPLIT, "func(dst *float32, sums *int32, scale, shift *float32, n int)")
	Pragma("noescape")
	dst := Load(Param("dst"), GP64())
	sums := Load(Param("sums"), GP64())
	scale := Load(Param("scale"), GP64())
	shift := Load(Param("shift"), GP64())
	n := Load(Param("n"), GP64())
	i := GP64()
	XORQ(i, i)
	Label("loop")
	v := l.vec()
	VCVTDQ2PS(Mem{Base: sums, Index: i, Scale: 4}, v)
	VMULPS(Mem{Base: scale, Index: i, Scale: 4}, v, v)
	VADDPS(Mem{Base: shift, Index: i, Scale: 4}, v, v)
	VMOVUPS(v, Mem{Base: dst, Index: i, Scale: 4})
	ADDQ(Imm(uint64(l.n)), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// sum8 generates the sum of b ^ flip, 32 bytes at a time.
func sum8() {
	TEXT("sum8", NOSPLIT, "func(b *byte, n int, flip uint32) int32")
	Pragma("noescape")
	b := Load(Param("b"), GP64())
	n := Load(Param("n"), GP64())
	f, _ := Param("flip").Resolve()
	flip, null, sum := YMM(), YMM(), YMM()
	VBROADCASTSS(f.Addr, flip)
	VPXOR(null, null, null)
	VPXOR(sum, sum, sum)
	Label("loop")
	v := YMM()
	VPXOR(Mem{Base: b}, flip, v)
	VPSADBW(null, v, v)
	VPADDQ(v, sum, sum)
	ADDQ(Imm(32), b)
	SUBQ(Imm(32), n)
	JNZ(LabelRef("loop"))
	high := XMM()
	VEXTRACTI128(Imm(1), sum, high)
	VPADDQ(high, sum.AsX(), high)
	swap := XMM()
	VPSHUFD(Imm(0x4e), high, swap)
	VPADDQ(swap, high, high)
	r := GP32()
	VMOVD(high, r)
	VZEROUPPER()
	Store(r, ReturnIndex(0))
	RET()
}

// bounds generates the least and greatest of every eighth value of x, n of them
// a multiple of 16.
func bounds() {
	TEXT("bounds8", NOSPLIT, "func(x *float32, n int, lo, hi *float32)")
	Pragma("noescape")
	x := Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	var lo, hi [2]reg.VecVirtual
	for i := range lo {
		lo[i], hi[i] = YMM(), YMM()
		VMOVUPS(Mem{Base: x, Disp: 32 * i}, lo[i])
		VMOVAPS(lo[i], hi[i])
	}
	Label("loop")
	for i := range lo {
		v := YMM()
		VMOVUPS(Mem{Base: x, Disp: 32 * i}, v)
		VMINPS(v, lo[i], lo[i])
		VMAXPS(v, hi[i], hi[i])
	}
	ADDQ(Imm(64), x)
	SUBQ(Imm(16), n)
	JNZ(LabelRef("loop"))
	VMINPS(lo[1], lo[0], lo[0])
	VMAXPS(hi[1], hi[0], hi[0])
	to := Load(Param("lo"), GP64())
	VMOVUPS(lo[0], Mem{Base: to})
	Load(Param("hi"), to)
	VMOVUPS(hi[0], Mem{Base: to})
	VZEROUPPER()
	RET()
}

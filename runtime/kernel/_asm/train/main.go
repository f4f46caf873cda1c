// Command train generates the amd64 assembly of the kernels that training
// needs beside those of inference.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!noasm")
	adam()
	mask()
	reluBack()
	transpose8()
	rows("copyRowsAVX2", false)
	rows("addRowsAVX2", true)
	addScalar()
	Generate()
}

// each loops over n elements, a multiple of 8, at the pointers.
func each(n reg.Register, pointers []reg.Register, body func()) {
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(32), p)
	}
	SUBQ(Imm(8), n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

func at(p reg.Register) Mem { return Mem{Base: p} }

func load(p reg.Register) reg.VecVirtual {
	r := YMM()
	VMOVUPS(at(p), r)
	return r
}

// adam: c holds beta1, 1-beta1, beta2, 1-beta2, rate, scale, eps.
func adam() {
	TEXT("adamAVX2", NOSPLIT, "func(n int, w, grad, m, v, c *float32)")
	Pragma("noescape")
	n, w, g := Load(Param("n"), GP64()), Load(Param("w"), GP64()), Load(Param("grad"), GP64())
	m, v, c := Load(Param("m"), GP64()), Load(Param("v"), GP64()), Load(Param("c"), GP64())
	k := make([]reg.VecVirtual, 7)
	for i := range k {
		k[i] = YMM()
		VBROADCASTSS(Mem{Base: c, Disp: 4 * i}, k[i])
	}
	each(n, []reg.Register{w, g, m, v}, func() {
		d, mi, vi, t := load(g), load(m), load(v), YMM()
		VMULPS(k[0], mi, mi)
		VMULPS(k[1], d, t)
		VADDPS(t, mi, mi)
		VMOVUPS(mi, at(m))
		VMULPS(k[3], d, t)
		VMULPS(d, t, t)
		VMULPS(k[2], vi, vi)
		VADDPS(t, vi, vi)
		VMOVUPS(vi, at(v))
		VSQRTPS(vi, vi)
		VMULPS(k[5], vi, vi)
		VADDPS(k[6], vi, vi)
		VMULPS(k[4], mi, mi)
		VDIVPS(vi, mi, mi)
		x := load(w)
		VSUBPS(mi, x, x)
		VMOVUPS(x, at(w))
	})
}

// mask: dst = w*mask + 0.
func mask() {
	TEXT("maskAVX2", NOSPLIT, "func(n int, dst, w, mask *float32)")
	Pragma("noescape")
	n, dst := Load(Param("n"), GP64()), Load(Param("dst"), GP64())
	w, m := Load(Param("w"), GP64()), Load(Param("mask"), GP64())
	zero := YMM()
	VXORPS(zero, zero, zero)
	each(n, []reg.Register{dst, w, m}, func() {
		x := load(w)
		VMULPS(at(m), x, x)
		VADDPS(zero, x, x)
		VMOVUPS(x, at(dst))
	})
}

// reluBack: dst = g where y > 0, else 0.
func reluBack() {
	TEXT("reluBackAVX2", NOSPLIT, "func(n int, dst, y, grad *float32)")
	Pragma("noescape")
	n, dst := Load(Param("n"), GP64()), Load(Param("dst"), GP64())
	y, g := Load(Param("y"), GP64()), Load(Param("grad"), GP64())
	zero := YMM()
	VXORPS(zero, zero, zero)
	each(n, []reg.Register{dst, y, g}, func() {
		x := load(y)
		VCMPPS(Imm(14), zero, x, x) // greater
		VANDPS(at(g), x, x)
		VMOVUPS(x, at(dst))
	})
}

// transpose8 writes the transpose of 8 rows of n elements, a multiple of 8:
// column j goes to the 8 elements at dst + j*dstStride. Strides are in bytes.
func transpose8() {
	TEXT("transpose8AVX2", NOSPLIT, "func(n int, src *float32, srcStride int, dst *float32, dstStride int)")
	Pragma("noescape")
	n, src, ss := Load(Param("n"), GP64()), Load(Param("src"), GP64()), Load(Param("srcStride"), GP64())
	dst, ds := Load(Param("dst"), GP64()), Load(Param("dstStride"), GP64())
	s3, d3 := GP64(), GP64()
	LEAQ(Mem{Base: ss, Index: ss, Scale: 2}, s3)
	LEAQ(Mem{Base: ds, Index: ds, Scale: 2}, d3)
	row := func(p, stride, three, p4 reg.Register, i int) Mem {
		b := p
		if i >= 4 {
			b, i = p4, i-4
		}
		switch i {
		case 1:
			return Mem{Base: b, Index: stride, Scale: 1}
		case 2:
			return Mem{Base: b, Index: stride, Scale: 2}
		case 3:
			return Mem{Base: b, Index: three, Scale: 1}
		}
		return Mem{Base: b}
	}
	src4 := GP64()
	LEAQ(Mem{Base: src, Index: ss, Scale: 4}, src4)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("loop")
	var r, t [8]reg.VecVirtual
	for i := range r {
		r[i], t[i] = YMM(), YMM()
	}
	// Rows i and i+4 share a register, 4 columns each; then 4x4 transposes.
	for i := range 4 {
		for half := range 2 {
			x := YMM()
			lo, hi := row(src, ss, s3, src4, i), row(src, ss, s3, src4, i+4)
			lo.Disp, hi.Disp = 16*half, 16*half
			VMOVUPS(lo, x.AsX())
			VINSERTF128(Imm(1), hi, x, r[4*half+i])
		}
	}
	dst4 := GP64()
	LEAQ(Mem{Base: dst, Index: ds, Scale: 4}, dst4)
	for h := 0; h < 8; h += 4 {
		VUNPCKLPS(r[h+1], r[h], t[h])
		VUNPCKHPS(r[h+1], r[h], t[h+1])
		VUNPCKLPS(r[h+3], r[h+2], t[h+2])
		VUNPCKHPS(r[h+3], r[h+2], t[h+3])
		VUNPCKLPD(t[h+2], t[h], r[h])
		VUNPCKHPD(t[h+2], t[h], r[h+1])
		VUNPCKLPD(t[h+3], t[h+1], r[h+2])
		VUNPCKHPD(t[h+3], t[h+1], r[h+3])
		for i := range 4 {
			VMOVUPS(r[h+i], row(dst, ds, d3, dst4, h+i))
		}
	}
	ADDQ(Imm(32), src)
	ADDQ(Imm(32), src4)
	LEAQ(Mem{Base: dst, Index: ds, Scale: 8}, dst)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// rows copies or adds rows of width elements. Strides are in bytes.
func rows(name string, add bool) {
	TEXT(name, NOSPLIT, "func(rows, width int, dst *float32, dstStride int, src *float32, srcStride int)")
	Pragma("noescape")
	n, width := Load(Param("rows"), GP64()), Load(Param("width"), GP64())
	dst, ds := Load(Param("dst"), GP64()), Load(Param("dstStride"), GP64())
	src, ss := Load(Param("src"), GP64()), Load(Param("srcStride"), GP64())
	d, s, left := GP64(), GP64(), GP64()
	Label("row")
	MOVQ(dst, d)
	MOVQ(src, s)
	MOVQ(width, left)
	Label("eight")
	CMPQ(left, Imm(8))
	JL(LabelRef("four"))
	x := YMM()
	VMOVUPS(at(s), x)
	if add {
		VADDPS(at(d), x, x)
	}
	VMOVUPS(x, at(d))
	ADDQ(Imm(32), s)
	ADDQ(Imm(32), d)
	SUBQ(Imm(8), left)
	JMP(LabelRef("eight"))
	Label("four")
	CMPQ(left, Imm(4))
	JL(LabelRef("one"))
	VMOVUPS(at(s), x.AsX())
	if add {
		VADDPS(at(d), x.AsX(), x.AsX())
	}
	VMOVUPS(x.AsX(), at(d))
	ADDQ(Imm(16), s)
	ADDQ(Imm(16), d)
	SUBQ(Imm(4), left)
	Label("one")
	TESTQ(left, left)
	JZ(LabelRef("next"))
	VMOVSS(at(s), x.AsX())
	if add {
		VADDSS(at(d), x.AsX(), x.AsX())
	}
	VMOVSS(x.AsX(), at(d))
	ADDQ(Imm(4), s)
	ADDQ(Imm(4), d)
	SUBQ(Imm(1), left)
	JMP(LabelRef("one"))
	Label("next")
	ADDQ(ds, dst)
	ADDQ(ss, src)
	SUBQ(Imm(1), n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// addScalar: dst += x.
func addScalar() {
	TEXT("addScalarAVX2", NOSPLIT, "func(n int, dst *float32, x float32)")
	Pragma("noescape")
	n, dst := Load(Param("n"), GP64()), Load(Param("dst"), GP64())
	x := YMM()
	VBROADCASTSS(NewParamAddr("x", 16), x)
	each(n, []reg.Register{dst}, func() {
		y := YMM()
		VADDPS(at(dst), x, y)
		VMOVUPS(y, at(dst))
	})
}

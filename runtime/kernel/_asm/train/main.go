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
	copyRows()
	rows()
	dotRows()
	addScalar()
	maxPool2()
	clipBack()
	stencil()
	stencilDots()
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

// eachRow walks over rows of width elements at pointers p, whose strides are in
// bytes: body gets 8, 4 or 1 elements at a time.
func eachRow(n, width reg.Register, p, strides []reg.Register, body func(lanes int, at []Mem)) {
	left := GP64()
	q, at := make([]reg.Register, len(p)), make([]Mem, len(p))
	for i := range q {
		q[i] = GP64()
		at[i] = Mem{Base: q[i]}
	}
	chunk := func(lanes int, again, next string) {
		Label(again)
		CMPQ(left, Imm(uint64(lanes)))
		JL(LabelRef(next))
		body(lanes, at)
		for _, x := range q {
			ADDQ(Imm(uint64(4*lanes)), x)
		}
		SUBQ(Imm(uint64(lanes)), left)
	}
	step := func(row string) {
		for i := range p {
			ADDQ(strides[i], p[i])
		}
		SUBQ(Imm(1), n)
		JNZ(LabelRef(row))
	}
	begin := func(row string) {
		Label(row)
		for i := range q {
			MOVQ(p[i], q[i])
		}
		MOVQ(width, left)
	}
	TESTQ(U32(7), width)
	JNZ(LabelRef("row"))
	begin("even")
	Label("evenEight")
	body(8, at)
	for _, x := range q {
		ADDQ(Imm(32), x)
	}
	SUBQ(Imm(8), left)
	JNZ(LabelRef("evenEight"))
	step("even")
	JMP(LabelRef("done"))
	begin("row")
	chunk(8, "eight", "four")
	JMP(LabelRef("eight"))
	chunk(4, "four", "one")
	chunk(1, "one", "next")
	JMP(LabelRef("one"))
	Label("next")
	step("row")
	Label("done")
}

// lanesOf is the part of a register that holds so many elements, with the
// moves and arithmetic on it.
type lanesOf struct {
	r              reg.Register
	move, add, mul func(...Op)
}

func lane(x reg.VecVirtual, lanes int) lanesOf {
	switch lanes {
	case 8:
		return lanesOf{x, VMOVUPS, VADDPS, VMULPS}
	case 4:
		return lanesOf{x.AsX(), VMOVUPS, VADDPS, VMULPS}
	}
	return lanesOf{x.AsX(), VMOVSS, VADDSS, VMULSS}
}

// rowArgs loads the arguments of a function over rows of dst and src.
func rowArgs(name, more string) (n, width reg.Register, p, strides []reg.Register) {
	TEXT(name, NOSPLIT, "func(rows, width int, dst *float32, dstStride int, src *float32, srcStride int"+more+")")
	Pragma("noescape")
	n, width = Load(Param("rows"), GP64()), Load(Param("width"), GP64())
	dst, ds := Load(Param("dst"), GP64()), Load(Param("dstStride"), GP64())
	src, ss := Load(Param("src"), GP64()), Load(Param("srcStride"), GP64())
	return n, width, []reg.Register{dst, src}, []reg.Register{ds, ss}
}

// copyRows: dst = src. The last 8 or 4 elements of a row may be copied twice.
func copyRows() {
	n, width, p, strides := rowArgs("copyRowsAVX2", "")
	i, last := GP64(), GP64()
	step := func(row string) {
		for k := range p {
			ADDQ(strides[k], p[k])
		}
		SUBQ(Imm(1), n)
		JNZ(LabelRef(row))
	}
	move := func(lanes int, at reg.Register) {
		x := lane(YMM(), lanes)
		x.move(Mem{Base: p[1], Index: at, Scale: 4}, x.r)
		x.move(x.r, Mem{Base: p[0], Index: at, Scale: 4})
	}
	CMPQ(width, Imm(4))
	JL(LabelRef("one"))
	CMPQ(width, Imm(8))
	JL(LabelRef("four"))
	LEAQ(Mem{Base: width, Disp: -8}, last)
	Label("eight")
	XORQ(i, i)
	JMP(LabelRef("test"))
	Label("more")
	move(8, i)
	ADDQ(Imm(8), i)
	Label("test")
	CMPQ(i, last)
	JL(LabelRef("more"))
	move(8, last)
	step("eight")
	JMP(LabelRef("end"))
	Label("four")
	LEAQ(Mem{Base: width, Disp: -4}, last)
	XORQ(i, i)
	Label("fourRow")
	move(4, i)
	move(4, last)
	step("fourRow")
	JMP(LabelRef("end"))
	Label("one")
	XORQ(i, i)
	Label("element")
	move(1, i)
	ADDQ(Imm(1), i)
	CMPQ(i, width)
	JL(LabelRef("element"))
	step("one")
	Label("end")
	VZEROUPPER()
	RET()
}

// addRows: dst += src. axpyRows: dst += a*src.
func rows() {
	for _, name := range []string{"addRows", "axpyRows"} {
		more := ""
		if name == "axpyRows" {
			more = ", a float32"
		}
		n, width, p, strides := rowArgs(name+"AVX2", more)
		a := YMM()
		if more != "" {
			VBROADCASTSS(NewParamAddr("a", 48), a)
		}
		eachRow(n, width, p, strides, func(lanes int, at []Mem) {
			x := lane(YMM(), lanes)
			x.move(at[1], x.r)
			if more != "" {
				x.mul(lane(a, lanes).r, x.r, x.r)
			}
			x.add(at[0], x.r, x.r)
			x.move(x.r, at[0])
		})
		VZEROUPPER()
		RET()
	}
}

// dotRows: sums of dst*src over the elements taken 8, 4 and 1 at a time go to
// the 8, 4 and 1 elements of sum.
func dotRows() {
	n, width, p, strides := rowArgs("dotRowsAVX2", ", sum *[13]float32")
	sum := map[int]reg.VecVirtual{8: YMM(), 4: YMM(), 1: YMM()}
	for _, lanes := range []int{8, 4, 1} {
		VXORPS(sum[lanes], sum[lanes], sum[lanes])
	}
	eachRow(n, width, p, strides, func(lanes int, at []Mem) {
		x := lane(YMM(), lanes)
		x.move(at[1], x.r)
		x.mul(at[0], x.r, x.r)
		s := lane(sum[lanes], lanes)
		s.add(x.r, s.r, s.r)
	})
	out := Load(Param("sum"), GP64())
	for i, lanes := range []int{8, 4, 1} {
		s := lane(sum[lanes], lanes)
		s.move(s.r, Mem{Base: out, Disp: []int{0, 32, 48}[i]})
	}
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

// maxPool2: the largest of each 2x2 of rows x cols windows side by side, the
// first of equals, and its position in src, whose rows are width elements; cols
// is at least 4, the last 4 of a row may overlap those before.
func maxPool2() {
	TEXT("maxPool2AVX2", NOSPLIT, "func(rows, cols int, dst *float32, at *int32, src *float32, width int)")
	Pragma("noescape")
	rows, cols := Load(Param("rows"), GP64()), Load(Param("cols"), GP64())
	dst, pos, src := Load(Param("dst"), GP64()), Load(Param("at"), GP64()), Load(Param("src"), GP64())
	width := Load(Param("width"), GP64())
	even := GLOBL("even", RODATA|NOPTR)
	for i := range 4 {
		DATA(4*i, U32(2*i))
	}
	// first is the position of the first four windows, steps what to add for each tap.
	first, skip, one, across := XMM(), XMM(), XMM(), XMM()
	VMOVDQU(even, first)
	t := GP64()
	MOVQ(U32(1), t)
	VMOVQ(t, one)
	VPBROADCASTD(one, one)
	VMOVQ(width, across)
	VPBROADCASTD(across, across)
	VPADDD(across, across, skip)
	last := GP64()
	LEAQ(Mem{Base: cols, Disp: -4}, last)
	i := GP64()
	Label("row")
	XORQ(i, i)
	Label("four")
	q, r := GP64(), GP64()
	LEAQ(Mem{Base: src, Index: i, Scale: 8}, q)
	LEAQ(Mem{Base: q, Index: width, Scale: 4}, r)
	places := XMM()
	VMOVQ(i, places)
	VPBROADCASTD(places, places)
	VPADDD(places, places, places)
	VPADDD(first, places, places)
	value, place := XMM(), XMM()
	for k, p := range []reg.Register{q, r} {
		a, b, left, right := XMM(), XMM(), XMM(), XMM()
		VMOVUPS(Mem{Base: p}, a)
		VMOVUPS(Mem{Base: p, Disp: 16}, b)
		VSHUFPS(Imm(0x88), b, a, left)
		VSHUFPS(Imm(0xdd), b, a, right)
		here := places
		if k == 1 {
			here = XMM()
			VPADDD(across, places, here)
		}
		there, more := XMM(), XMM()
		VPADDD(one, here, there)
		if k == 0 {
			VMOVAPS(left, value)
			VMOVAPS(here, place)
		} else {
			VCMPPS(Imm(30), value, left, more)
			VBLENDVPS(more, left, value, value)
			VBLENDVPS(more, here, place, place)
		}
		VCMPPS(Imm(30), value, right, more) // greater
		VBLENDVPS(more, right, value, value)
		VBLENDVPS(more, there, place, place)
	}
	VMOVUPS(value, Mem{Base: dst, Index: i, Scale: 4})
	VMOVUPS(place, Mem{Base: pos, Index: i, Scale: 4})
	ADDQ(Imm(4), i)
	CMPQ(i, cols)
	JGE(LabelRef("next"))
	CMPQ(i, last)
	CMOVQGT(last, i)
	JMP(LabelRef("four"))
	Label("next")
	LEAQ(Mem{Base: dst, Index: cols, Scale: 4}, dst)
	LEAQ(Mem{Base: pos, Index: cols, Scale: 4}, pos)
	LEAQ(Mem{Base: src, Index: width, Scale: 8}, src)
	VPADDD(skip, first, first)
	SUBQ(Imm(1), rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

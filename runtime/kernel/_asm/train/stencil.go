package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// clipBack: dst = g where lo < x < hi, else 0.
func clipBack() {
	TEXT("clipBackAVX2", NOSPLIT, "func(n int, dst, x, grad *float32, lo, hi float32)")
	Pragma("noescape")
	n, dst := Load(Param("n"), GP64()), Load(Param("dst"), GP64())
	x, g := Load(Param("x"), GP64()), Load(Param("grad"), GP64())
	lo, hi := YMM(), YMM()
	VBROADCASTSS(NewParamAddr("lo", 32), lo)
	VBROADCASTSS(NewParamAddr("hi", 36), hi)
	each(n, []reg.Register{dst, x, g}, func() {
		v, above := load(x), YMM()
		VCMPPS(Imm(14), lo, v, above) // greater
		VCMPPS(Imm(1), hi, v, v)      // less
		VANDPS(above, v, v)
		VANDPS(at(g), v, v)
		VMOVUPS(v, at(dst))
	})
}

// stencil: blocks of 64 elements of dst are the sums of w[k]*src[offsets[k]+i].
func stencil() {
	TEXT("stencilAVX2", NOSPLIT, "func(blocks int, dst, src *float32, offsets *int, w *float32, taps int)")
	Pragma("noescape")
	n, dst, src := Load(Param("blocks"), GP64()), Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	offsets, w, taps := Load(Param("offsets"), GP64()), Load(Param("w"), GP64()), Load(Param("taps"), GP64())
	var acc [8]reg.VecVirtual
	for i := range acc {
		acc[i] = YMM()
	}
	Label("block")
	for _, a := range acc {
		VXORPS(a, a, a)
	}
	k, p, x := GP64(), GP64(), YMM()
	XORQ(k, k)
	Label("tap")
	MOVQ(Mem{Base: offsets, Index: k, Scale: 8}, p)
	LEAQ(Mem{Base: src, Index: p, Scale: 4}, p)
	VBROADCASTSS(Mem{Base: w, Index: k, Scale: 4}, x)
	for i, a := range acc {
		VFMADD231PS(Mem{Base: p, Disp: 32 * i}, x, a)
	}
	INCQ(k)
	CMPQ(k, taps)
	JL(LabelRef("tap"))
	for i, a := range acc {
		VMOVUPS(a, Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(U32(256), src)
	ADDQ(U32(256), dst)
	SUBQ(Imm(1), n)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// stencilDots: for groups of three offsets, the sums of g[i]*src[offset+i] over n
// elements, a multiple of 16, are added to 16 lanes each.
func stencilDots() {
	TEXT("stencilDotsAVX2", NOSPLIT, "func(groups, n int, grad, src *float32, offsets *int, sums *float32)")
	Pragma("noescape")
	groups, n, g0 := Load(Param("groups"), GP64()), Load(Param("n"), GP64()), Load(Param("grad"), GP64())
	src, offsets, sums := Load(Param("src"), GP64()), Load(Param("offsets"), GP64()), Load(Param("sums"), GP64())
	var acc [6]reg.VecVirtual
	Label("group")
	for i := range acc {
		acc[i] = YMM()
		VMOVUPS(Mem{Base: sums, Disp: 32 * i}, acc[i])
	}
	p := []reg.Register{GP64(), GP64(), GP64()}
	for i := range p {
		MOVQ(Mem{Base: offsets, Disp: 8 * i}, p[i])
		LEAQ(Mem{Base: src, Index: p[i], Scale: 4}, p[i])
	}
	i := GP64()
	XORQ(i, i)
	Label("sixteen")
	for half := range 2 {
		v := YMM()
		VMOVUPS(Mem{Base: g0, Index: i, Scale: 4, Disp: 32 * half}, v)
		for t := range p {
			VFMADD231PS(Mem{Base: p[t], Index: i, Scale: 4, Disp: 32 * half}, v, acc[2*t+half])
		}
	}
	ADDQ(Imm(16), i)
	CMPQ(i, n)
	JL(LabelRef("sixteen"))
	for i := range acc {
		VMOVUPS(acc[i], Mem{Base: sums, Disp: 32 * i})
	}
	ADDQ(Imm(24), offsets)
	ADDQ(U32(192), sums)
	SUBQ(Imm(1), groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

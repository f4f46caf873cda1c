package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kernel.channelTile, to which t points.
const (
	chanA       = 8 * iota // *byte
	chanOffsets            // *int32, [pixel][tap]
	chanTaps               // a multiple of the taps of a step
	chanPixels
	chanW     // weights of all steps
	chanStart // *int32
	chanScale // *float32
	chanOut   // *byte
	chanLDC   // bytes between pixels of out
	chanLo    // float32
	chanHi    = chanLo + 4
	chanZero  = chanHi + 4
)

// channels is the width of a channel kernel and its registers.
type channels struct {
	bytes int
	vec   func() reg.VecVirtual
}

var widths = []channels{{64, func() reg.VecVirtual { return ZMM() }}, {32, func() reg.VecVirtual { return YMM() }}, {16, func() reg.VecVirtual { return XMM() }}}

func clearVec(c channels, v reg.VecVirtual) {
	if c.bytes == 64 {
		VPXORD(v, v, v)
		return
	}
	VPXOR(v, v, v)
}

// channelLoop loads the fields and loops over pixels: tap computes one step from
// the addresses of its taps, finish stores at out.
func channelLoop(t reg.Register, taps int, begin func(), step func(at []Mem), finish func(out Mem)) {
	field := func(offset int) Mem { return Mem{Base: t, Disp: offset} }
	a, offsets, out := GP64(), GP64(), GP64()
	MOVQ(field(chanA), a)
	MOVQ(field(chanOffsets), offsets)
	MOVQ(field(chanOut), out)
	pixels, left := GP64(), GP64()
	MOVQ(field(chanPixels), pixels)
	Label("pixel")
	begin()
	MOVQ(field(chanTaps), left)
	Label("step")
	at := make([]Mem, taps)
	for i := range at {
		r := GP64()
		MOVLQSX(Mem{Base: offsets, Disp: 4 * i}, r)
		at[i] = Mem{Base: a, Index: r, Scale: 1}
	}
	step(at)
	ADDQ(Imm(uint64(4*taps)), offsets)
	SUBQ(Imm(uint64(taps)), left)
	JNZ(LabelRef("step"))
	finish(Mem{Base: out})
	ADDQ(field(chanLDC), out)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// depthwise generates the convolution of each channel with its own weights.
// Steps take four taps (bytes, VPDPBUSD) or two (int16, VPMADDWD). Interleaving
// the taps leaves channel 16*lane + 4*v + e in element 4*lane + e of vector v;
// packing the sums to bytes undoes that.
func depthwise(c channels, vnni bool) {
	name, taps, stride := "pairDepthwise", 2, 4*c.bytes
	if vnni {
		name, taps = "vnniDepthwise", 4
	}
	TEXT(fmt.Sprintf("%s%d", name, c.bytes), NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	t := Load(Param("t"), GP64())
	var acc [4]reg.VecVirtual
	for v := range acc {
		acc[v] = c.vec()
	}
	w := GP64()
	var null reg.VecVirtual
	if !vnni {
		null = c.vec()
		clearVec(c, null)
	}
	channelLoop(t, taps, func() {
		start := GP64()
		MOVQ(Mem{Base: t, Disp: chanStart}, start)
		for v := range acc {
			VMOVUPS(Mem{Base: start, Disp: v * c.bytes}, acc[v])
		}
		MOVQ(Mem{Base: t, Disp: chanW}, w)
	}, func(at []Mem) {
		var x [4]reg.VecVirtual
		for i, m := range at {
			x[i] = c.vec()
			VMOVUPS(m, x[i])
		}
		unpack := func(op func(b, a, dst Op), a, b reg.VecVirtual) reg.VecVirtual {
			dst := c.vec()
			op(b, a, dst)
			return dst
		}
		lo, hi := func(b, a, d Op) { VPUNPCKLBW(b, a, d) }, func(b, a, d Op) { VPUNPCKHBW(b, a, d) }
		wlo, whi := func(b, a, d Op) { VPUNPCKLWD(b, a, d) }, func(b, a, d Op) { VPUNPCKHWD(b, a, d) }
		var l0, h0, l1, h1 reg.VecVirtual
		if vnni {
			l0, h0 = unpack(lo, x[0], x[1]), unpack(hi, x[0], x[1])
			l1, h1 = unpack(lo, x[2], x[3]), unpack(hi, x[2], x[3])
		} else {
			l0, h0 = unpack(lo, x[0], null), unpack(hi, x[0], null)
			l1, h1 = unpack(lo, x[1], null), unpack(hi, x[1], null)
		}
		for v, q := range []reg.VecVirtual{unpack(wlo, l0, l1), unpack(whi, l0, l1), unpack(wlo, h0, h1), unpack(whi, h0, h1)} {
			m := Mem{Base: w, Disp: v * c.bytes}
			if vnni {
				VPDPBUSD(m, q, acc[v])
				continue
			}
			VPMADDWD(m, q, q)
			VPADDD(q, acc[v], acc[v])
		}
		ADDQ(U32(stride), w)
	}, func(out Mem) {
		scale := GP64()
		MOVQ(Mem{Base: t, Disp: chanScale}, scale)
		lo, hi, zero := c.vec(), c.vec(), c.vec()
		VBROADCASTSS(Mem{Base: t, Disp: chanLo}, lo)
		VBROADCASTSS(Mem{Base: t, Disp: chanHi}, hi)
		VPBROADCASTD(Mem{Base: t, Disp: chanZero}, zero)
		for v, s := range acc {
			VCVTDQ2PS(s, s)
			VMULPS(Mem{Base: scale, Disp: v * c.bytes}, s, s)
			VMINPS(hi, s, s)
			VMAXPS(lo, s, s)
			VCVTPS2DQ(s, s)
			VPADDD(zero, s, s)
		}
		VPACKSSDW(acc[1], acc[0], acc[0])
		VPACKSSDW(acc[3], acc[2], acc[2])
		VPACKUSWB(acc[2], acc[0], acc[0])
		VMOVUPS(acc[0], out)
	})
}

// maxPool generates the greatest byte of each channel over the taps.
func maxPool(c channels) {
	TEXT(fmt.Sprintf("maxPool%d", c.bytes), NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	t := Load(Param("t"), GP64())
	acc := c.vec()
	channelLoop(t, 1, func() { clearVec(c, acc) }, func(at []Mem) { VPMAXUB(at[0], acc, acc) }, func(out Mem) { VMOVUPS(acc, out) })
}

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
	chanOffsets            // *int32, bytes from a for each pixel
	chanTaps               // *int32, bytes to add for each tap
	chanTapsEnd            // bytes of taps, of whole steps
	chanPixels
	chanW     // weights of all steps
	chanStart // *int32
	chanScale // *float32
	chanOut   // *byte
	chanLDC   // bytes between pixels of out
	chanLo    // float32
	chanHi    = chanLo + 4
	chanZero  = chanHi + 4
	chanFlipA = chanZero + 4 // uint32, exclusive or of 4 bytes of A
	chanFlip  = chanFlipA + 4
)

// channels is the width of a channel kernel and its registers.
type channels struct {
	bytes int
	vec   func() reg.VecVirtual
}

var widths = []channels{{64, func() reg.VecVirtual { return ZMM() }}, {32, func() reg.VecVirtual { return YMM() }}, {16, func() reg.VecVirtual { return XMM() }}}

// xor is dst = a ^ b.
func (c channels) xor(a, b, dst Op) {
	if c.bytes == 64 {
		VPXORD(a, b, dst)
		return
	}
	VPXOR(a, b, dst)
}

// channelLoop loads the fields and loops over pixels: step computes one step from
// the addresses of its count taps, finish stores at out.
func channelLoop(t reg.Register, count int, begin func(), step func(at []Mem), finish func(out Mem)) {
	field := func(offset int) Mem { return Mem{Base: t, Disp: offset} }
	a, offsets, taps, out := GP64(), GP64(), GP64(), GP64()
	MOVQ(field(chanOffsets), offsets)
	MOVQ(field(chanTaps), taps)
	MOVQ(field(chanOut), out)
	pixels, i := GP64(), GP64()
	MOVQ(field(chanPixels), pixels)
	Label("pixel")
	MOVLQSX(Mem{Base: offsets}, a)
	ADDQ(field(chanA), a)
	begin()
	XORQ(i, i)
	Label("step")
	at := make([]Mem, count)
	for j := range at {
		r := GP64()
		MOVLQSX(Mem{Base: taps, Index: i, Scale: 1, Disp: 4 * j}, r)
		at[j] = Mem{Base: a, Index: r, Scale: 1}
	}
	step(at)
	ADDQ(Imm(uint64(4*count)), i)
	CMPQ(i, field(chanTapsEnd))
	JNE(LabelRef("step"))
	finish(Mem{Base: out})
	ADDQ(Imm(4), offsets)
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
	w, flip := GP64(), c.vec()
	VPBROADCASTD(Mem{Base: t, Disp: chanFlipA}, flip)
	var null reg.VecVirtual
	if !vnni {
		null = c.vec()
		c.xor(null, null, null)
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
			c.xor(m, flip, x[i])
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
		VPBROADCASTD(Mem{Base: t, Disp: chanFlip}, zero)
		c.xor(zero, acc[0], acc[0])
		VMOVUPS(acc[0], out)
	})
}

// maxPool generates the greatest byte of each channel over the taps.
func maxPool(c channels) {
	TEXT(fmt.Sprintf("maxPool%d", c.bytes), NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	t := Load(Param("t"), GP64())
	acc, flip := c.vec(), c.vec()
	VPBROADCASTD(Mem{Base: t, Disp: chanFlipA}, flip)
	channelLoop(t, 1, func() { c.xor(acc, acc, acc) }, func(at []Mem) {
		x := c.vec()
		c.xor(at[0], flip, x)
		VPMAXUB(x, acc, acc)
	}, func(out Mem) {
		c.xor(flip, acc, acc)
		VMOVUPS(acc, out)
	})
}

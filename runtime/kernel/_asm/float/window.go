package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets into kernel.windowArgs.
const (
	windowX        = 8 * iota
	windowStride   // bytes between pixels
	windowTaps     // pairs of offsets into x and w, in bytes
	windowTapCount //
	windowW        //
	windowY        //
	windowYStride  // bytes between pixels
	windowVectors  // of channels
	windowBias     // or nil
	windowClamp    // 0 or 1
	windowBounds   // lo, hi
)

// depthwise generates the sums over a window, channel by channel, for 1 to 8
// neighbouring pixels, and the maxima.
func depthwise(v isa) {
	for pixels := 1; pixels <= 8; pixels++ {
		window(v, fmt.Sprintf("depthwise%s_%d", v.name, pixels), pixels, false)
		window(v, fmt.Sprintf("maxPool%s_%d", v.name, pixels), pixels, true)
	}
}

func window(v isa, name string, pixels int, maximum bool) {
	TEXT(name, NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	x, stride, w, y := load(p, windowX), load(p, windowStride), load(p, windowW), load(p, windowY)
	bias, vectors := load(p, windowBias), load(p, windowVectors)
	Label("channels")
	acc := make([]reg.VecVirtual, pixels)
	for i := range acc {
		acc[i] = v.zero()
	}
	if !maximum {
		TESTQ(bias, bias)
		JZ(LabelRef("taps"))
		for i := range acc {
			VMOVUPS(Mem{Base: bias}, acc[i])
		}
		ADDQ(Imm(uint64(v.bytes())), bias)
	} else {
		for i := range acc {
			VMOVUPS(bits(0xff800000), acc[i])
		}
	}
	Label("taps")
	taps, count := load(p, windowTaps), load(p, windowTapCount)
	base := map[int]reg.GPVirtual{}
	for i := range pixels {
		if r := rowAddress[i][0]; base[r] == nil {
			base[r] = GP64()
		}
	}
	Label("tap")
	MOVQ(Mem{Base: taps}, base[0])
	ADDQ(x, base[0])
	if base[3] != nil {
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, base[3])
		ADDQ(base[0], base[3])
	}
	if base[5] != nil {
		LEAQ(Mem{Base: base[3], Index: stride, Scale: 2}, base[5])
	}
	weight := v.reg()
	if !maximum {
		at := GP64()
		MOVQ(Mem{Base: taps, Disp: 8}, at)
		VMOVUPS(Mem{Base: w, Index: at, Scale: 1}, weight)
	}
	for i := range pixels {
		m := Mem{Base: base[rowAddress[i][0]]}
		if s := rowAddress[i][1]; s > 0 {
			m.Index, m.Scale = stride, uint8(s)
		}
		if maximum {
			VMAXPS(m, acc[i], acc[i])
		} else {
			VFMADD231PS(m, weight, acc[i])
		}
	}
	ADDQ(Imm(16), taps)
	DECQ(count)
	JNZ(LabelRef("tap"))
	CMPQ(field(p, windowClamp), Imm(0))
	JE(LabelRef("store"))
	lo, hi := v.broadcast(field(p, windowBounds)), v.broadcast(field(p, windowBounds+4))
	for i := range acc {
		VMAXPS(acc[i], lo, acc[i])
		VMINPS(acc[i], hi, acc[i])
	}
	Label("store")
	at := GP64()
	MOVQ(y, at)
	for i := range acc {
		VMOVUPS(acc[i], Mem{Base: at})
		if i+1 < pixels {
			ADDQ(field(p, windowYStride), at)
		}
	}
	for _, r := range []reg.Register{x, w, y} {
		ADDQ(Imm(uint64(v.bytes())), r)
	}
	DECQ(vectors)
	JNZ(LabelRef("channels"))
	VZEROUPPER()
	RET()
}

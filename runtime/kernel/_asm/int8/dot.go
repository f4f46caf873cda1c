package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kernel.dotTile, to which t points.
const (
	dotA       = 8 * iota // *byte
	dotOffsets            // *int32, elements from a for each row
	dotTaps               // *int, bytes to add for each tap
	dotTapsEnd            // bytes of taps
	dotK                  // bytes of A for one tap
	dotB                  // *byte
	dotPanel              // bytes between panels of B
	dotTiles              // repetitions
	dotStart              // *int32, the first value of the sums of each column
	dotScale              // *float32
	dotOut                // *byte
	dotLDC                // bytes between rows of out
	dotRows               // *int32 or nil, added to the sums of each row
	dotDone               // rows finished
	dotRaw                // nonzero: out is the int32 sums
	dotLo                 // float32
	dotHi      = dotLo + 4
	dotZero    = dotHi + 4   // int32
	dotFlipA   = dotZero + 4 // uint32, exclusive or of 4 bytes of A
	dotFlip    = dotFlipA + 4
)

var tileRows = []int{6, 4, 1}

// variant is one way to add products of four bytes (or two int16) of A and of B
// to int32 lanes.
type variant struct {
	name string
	cols int // greatest number of 16-column panels of a tile
	elem int // bytes of an element of A
	wide bool
	// flips says that A is bytes that can be signed; dot takes them unsigned.
	flips bool
	// dot adds to acc the products of a, broadcast, and b, in memory or a register.
	dot func(a, b Op, acc reg.VecVirtual)
	// setup prepares registers that dot uses.
	setup func()
}

var ones reg.VecVirtual

var variants = []variant{
	{name: "vnni", cols: 4, elem: 1, wide: true, flips: true, dot: func(a, b Op, acc reg.VecVirtual) { VPDPBUSD(b, a, acc) }},
	{name: "avxvnni", cols: 1, elem: 1, flips: true, dot: func(a, b Op, acc reg.VecVirtual) { VPDPBUSD(b, a, acc) }},
	{name: "wide", cols: 4, elem: 2, wide: true, dot: func(a, b Op, acc reg.VecVirtual) {
		p := ZMM()
		VPMADDWD(b, a, p)
		VPADDD(p, acc, acc)
	}},
	{name: "pair", cols: 1, elem: 2, dot: func(a, b Op, acc reg.VecVirtual) {
		p := YMM()
		VPMADDWD(b, a, p)
		VPADDD(p, acc, acc)
	}},
	{name: "ubs", cols: 1, elem: 1, flips: true, dot: func(a, b Op, acc reg.VecVirtual) {
		p := YMM()
		VPMADDUBSW(b, a, p)
		VPMADDWD(ones, p, p)
		VPADDD(p, acc, acc)
	}, setup: func() {
		ones = YMM()
		VPCMPEQW(ones, ones, ones)
		VPSRLW(Imm(15), ones, ones)
	}},
}

func (v *variant) vec() reg.VecVirtual {
	if v.wide {
		return ZMM()
	}
	return YMM()
}

// tile generates out[rows x 16*cols] = A * B for several tiles of rows.
func (v *variant) tile(rows, cols int) {
	TEXT(fmt.Sprintf("%sDot%dx%d", v.name, rows, cols), NOSPLIT, "func(t *byte)")
	Pragma("noescape")
	t := Load(Param("t"), GP64())
	field := func(offset int) Mem { return Mem{Base: t, Disp: offset} }
	load := func(offset int) reg.GPVirtual {
		r := GP64()
		MOVQ(field(offset), r)
		return r
	}
	if v.setup != nil {
		v.setup()
	}
	vecs := cols // vectors of a row
	if !v.wide {
		vecs = 2 * cols
	}
	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		acc[i] = make([]reg.VecVirtual, vecs)
		for j := range acc[i] {
			acc[i][j] = v.vec()
		}
	}
	size := 64
	if !v.wide {
		size = 32
	}
	var flip reg.VecVirtual
	if v.flips && v.wide {
		flip = v.vec()
		VPBROADCASTD(field(dotFlipA), flip)
	}

	Label("tile")
	offsets, done := load(dotOffsets), load(dotDone)
	LEAQ(Mem{Base: offsets, Index: done, Scale: 4}, offsets)
	row := make([]reg.GPVirtual, rows)
	for i := range row {
		row[i] = GP64()
		MOVLQSX(Mem{Base: offsets, Disp: 4 * i}, row[i])
	}
	a := load(dotA)
	for i := range row {
		LEAQ(Mem{Base: a, Index: row[i], Scale: uint8(v.elem)}, row[i])
	}
	start := load(dotStart)
	for j := range vecs {
		VMOVUPS(Mem{Base: start, Disp: j * size}, acc[0][j])
		for i := 1; i < rows; i++ {
			VMOVAPS(acc[0][j], acc[i][j])
		}
	}
	b, panel, tap := load(dotB), load(dotPanel), GP64()
	var panel3 reg.GPVirtual
	if cols == 4 {
		panel3 = GP64()
		LEAQ(Mem{Base: panel, Index: panel, Scale: 2}, panel3)
	}
	XORQ(tap, tap)

	Label("tap")
	k, end := load(dotTaps), load(dotK)
	MOVQ(Mem{Base: k, Index: tap, Scale: 1}, k)
	ADDQ(k, end)

	Label("k")
	v.step(acc, row, k, b, panel, panel3, flip, field(dotFlipA))
	ADDQ(Imm(64), b)
	ADDQ(Imm(4), k)
	CMPQ(k, end)
	JNE(LabelRef("k"))
	ADDQ(Imm(8), tap)
	CMPQ(tap, field(dotTapsEnd))
	JNE(LabelRef("tap"))

	v.addRows(t, acc)
	out, ldc := load(dotDone), load(dotLDC)
	IMULQ(ldc, out)
	ADDQ(field(dotOut), out)
	CMPQ(field(dotRaw), Imm(0))
	JNE(LabelRef("raw"))
	v.requantize(t, acc, out, ldc)
	JMP(LabelRef("next"))
	Label("raw")
	for i := range rows {
		for j := range vecs {
			VMOVUPS(acc[i][j], Mem{Base: out, Disp: j * size})
		}
		ADDQ(ldc, out)
	}
	Label("next")
	ADDQ(Imm(uint64(rows)), field(dotDone))
	DECQ(field(dotTiles))
	JNZ(LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// step adds the products of 4 bytes of each row and all columns.
func (v *variant) step(acc [][]reg.VecVirtual, row []reg.GPVirtual, k, b, panel, panel3 reg.GPVirtual, flip reg.VecVirtual, flipA Mem) {
	at := []Mem{{Base: b}, {Base: b, Index: panel, Scale: 1}, {Base: b, Index: panel, Scale: 2}, {Base: b, Index: panel3, Scale: 1}}
	if !v.wide {
		at = []Mem{{Base: b}, {Base: b, Disp: 32}}
	}
	bs := make([]Op, len(acc[0]))
	for j := range bs {
		if v.setup != nil && j > 0 { // registers are short
			bs[j] = at[j]
			continue
		}
		r := v.vec()
		VMOVUPS(at[j], r)
		bs[j] = r
	}
	for i := range acc {
		x, m := v.vec(), Mem{Base: row[i], Index: k, Scale: 1}
		switch {
		case v.flips && v.wide:
			VPXORD_BCST(m, flip, x)
		case v.flips:
			VPBROADCASTD(m, x)
			f := v.vec()
			VPBROADCASTD(flipA, f)
			VPXOR(f, x, x)
		default:
			VPBROADCASTD(m, x)
		}
		for j := range bs {
			v.dot(x, bs[j], acc[i][j])
		}
	}
}

// addRows adds the values of dotRows if there are any.
func (v *variant) addRows(t reg.Register, acc [][]reg.VecVirtual) {
	rows := GP64()
	MOVQ(Mem{Base: t, Disp: dotRows}, rows)
	TESTQ(rows, rows)
	JZ(LabelRef("sums"))
	at := GP64()
	MOVQ(Mem{Base: t, Disp: dotDone}, at)
	LEAQ(Mem{Base: rows, Index: at, Scale: 4}, rows)
	for i := range acc {
		r := v.vec()
		VPBROADCASTD(Mem{Base: rows, Disp: 4 * i}, r)
		for j := range acc[i] {
			VPADDD(r, acc[i][j], acc[i][j])
		}
	}
	Label("sums")
}

// requantize stores round(min(max(sum*scale, lo), hi)) + zero as bytes, where
// lo and hi are integers less zero.
func (v *variant) requantize(t reg.Register, acc [][]reg.VecVirtual, out, ldc reg.GPVirtual) {
	scale := GP64()
	MOVQ(Mem{Base: t, Disp: dotScale}, scale)
	lo, hi, zero := v.vec(), v.vec(), v.vec()
	VBROADCASTSS(Mem{Base: t, Disp: dotLo}, lo)
	VBROADCASTSS(Mem{Base: t, Disp: dotHi}, hi)
	VPBROADCASTD(Mem{Base: t, Disp: dotZero}, zero)
	flip := XMM()
	if v.wide {
		VPBROADCASTD(Mem{Base: t, Disp: dotFlip}, flip)
	}
	size := 64
	if !v.wide {
		size = 32
	}
	for i := range acc {
		for j, s := range acc[i] {
			VCVTDQ2PS(s, s)
			VMULPS(Mem{Base: scale, Disp: j * size}, s, s)
			VMINPS(hi, s, s)
			VMAXPS(lo, s, s)
			VCVTPS2DQ(s, s)
			VPADDD(zero, s, s)
			if v.wide {
				b := XMM()
				VPMOVDB(s, b)
				VPXORD(flip, b, b)
				VMOVDQU32(b, Mem{Base: out, Disp: 16 * j})
			}
		}
		if !v.wide {
			s := acc[i][0]
			VPACKSSDW(acc[i][1], s, s)
			VPERMQ(Imm(0xd8), s, s)
			VPACKUSWB(s, s, s)
			VPERMQ(Imm(0xd8), s, s)
			f := acc[i][1].AsX() // registers are short
			VPBROADCASTD(Mem{Base: t, Disp: dotFlip}, f)
			VPXOR(f, s.AsX(), f)
			VMOVDQU(f, Mem{Base: out})
		}
		ADDQ(ldc, out)
	}
}

package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The matrices of Winograd's F(4x4, 3x3) (Lavin and Gray, 2015): a tile of
// 4x4 outputs is A^T ((G g G^T) . (B^T d B)) A.
var (
	winogradB = [][]float64{{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}}
	winogradA = [][]float64{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}
)

// Offsets into kernel.winogradArgs.
const (
	winogradSrc     = 8 * iota
	winogradSrcRow  // bytes between rows of the source
	winogradSrcStep // bytes between its columns
	winogradDst
	winogradDstRow
	winogradDstStep
	winogradVectors // of channels
	winogradTemp    // 36 vectors
	winogradBias    // or nil
	winogradResidual
	winogradClamp
	winogradBounds
)

func winograd(v isa) {
	transform(v, "winogradInput"+v.name, winogradB, false)
	transform(v, "winogradOutput"+v.name, winogradA, true)
}

// transform generates dst = T src T^T for one tile, channel vector by channel
// vector: the columns of src into temp, then the rows of temp.
func transform(v isa, name string, t [][]float64, output bool) {
	TEXT(name, NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	src, dst, temp := load(p, winogradSrc), load(p, winogradDst), load(p, winogradTemp)
	vectors, bias, residual := load(p, winogradVectors), reg.GPVirtual(nil), reg.GPVirtual(nil)
	if output {
		bias, residual = load(p, winogradBias), load(p, winogradResidual)
	}
	Label("channels")
	column := GP64()
	MOVQ(src, column)
	for j := range 6 {
		at := GP64()
		MOVQ(column, at)
		var in [6]reg.VecVirtual
		for i := range in {
			in[i] = v.reg()
			VMOVUPS(Mem{Base: at}, in[i])
			if i < 5 {
				ADDQ(field(p, winogradSrcRow), at)
			}
		}
		for i, row := range t {
			VMOVUPS(v.combine(row, in), Mem{Base: temp, Disp: (i*6 + j) * 64})
		}
		if j < 5 {
			ADDQ(field(p, winogradSrcStep), column)
		}
	}
	row, beside := GP64(), GP64()
	MOVQ(dst, row)
	if output {
		MOVQ(residual, beside)
	}
	for i := range t {
		var in [6]reg.VecVirtual
		for j := range in {
			in[j] = v.reg()
			VMOVUPS(Mem{Base: temp, Disp: (i*6 + j) * 64}, in[j])
		}
		at, r := GP64(), GP64()
		MOVQ(row, at)
		if output {
			MOVQ(beside, r)
		}
		for j, k := range t {
			y := v.combine(k, in)
			if output {
				v.finish(p, y, bias, residual, r, fmt.Sprintf("_%d_%d", i, j))
			}
			VMOVUPS(y, Mem{Base: at})
			if j+1 < len(t) {
				ADDQ(field(p, winogradDstStep), at)
				if output {
					ADDQ(field(p, winogradDstStep), r)
				}
			}
		}
		if i+1 < len(t) {
			ADDQ(field(p, winogradDstRow), row)
			if output {
				ADDQ(field(p, winogradDstRow), beside)
			}
		}
	}
	ADDQ(Imm(uint64(v.bytes())), src)
	ADDQ(Imm(uint64(v.bytes())), dst)
	if output {
		TESTQ(bias, bias)
		JZ(LabelRef("noBias"))
		ADDQ(Imm(uint64(v.bytes())), bias)
		Label("noBias")
		TESTQ(residual, residual)
		JZ(LabelRef("noResidual"))
		ADDQ(Imm(uint64(v.bytes())), residual)
		Label("noResidual")
	}
	DECQ(vectors)
	JNZ(LabelRef("channels"))
	VZEROUPPER()
	RET()
}

// combine is the sum of in[i]*k[i].
func (v isa) combine(k []float64, in [6]reg.VecVirtual) reg.VecVirtual {
	y := v.reg()
	first := true
	for pass := range 2 { // terms of coefficient 1 first
		for i, c := range k {
			switch {
			case c == 0 || (c == 1) != (pass == 0):
			case first:
				VMOVUPS(in[i], y)
				first = false
			case c == 1:
				VADDPS(in[i], y, y)
			case c == -1:
				VSUBPS(in[i], y, y)
			default:
				VFMADD231PS(f32(c), in[i], y)
			}
		}
	}
	return y
}

// finish adds bias and residual and clamps.
func (v isa) finish(p reg.Register, y reg.VecVirtual, bias, residual, r reg.GPVirtual, suffix string) {
	TESTQ(bias, bias)
	JZ(LabelRef("residual" + suffix))
	VADDPS(Mem{Base: bias}, y, y)
	Label("residual" + suffix)
	TESTQ(residual, residual)
	JZ(LabelRef("clamp" + suffix))
	VADDPS(Mem{Base: r}, y, y)
	Label("clamp" + suffix)
	CMPQ(field(p, winogradClamp), Imm(0))
	JE(LabelRef("store" + suffix))
	lo, hi := v.broadcast(field(p, winogradBounds)), v.broadcast(field(p, winogradBounds+4))
	VMAXPS(y, lo, y)
	VMINPS(y, hi, y)
	Label("store" + suffix)
}

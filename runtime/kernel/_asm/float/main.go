// Command float generates the amd64 assembly of the float32 kernels.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!noasm")
	for _, v := range []isa{avx2, avx512} {
		tiles(v)
		depthwise(v)
		for _, wide := range []int{3, 5, 7} {
			for _, stride := range []int{1, 2} {
				for _, pixels := range []int{7, 8} {
					depthwiseRow(v, wide, stride, pixels)
				}
			}
		}
		for _, vectors := range []int{1, 2, 4, 8} {
			sumRows(v, vectors)
		}
		elementwise(v)
		winograd(v)
	}
	Generate()
}

// isa is a vector instruction set.
type isa struct {
	name  string
	lanes int
	reg   func() reg.VecVirtual
}

var (
	avx2   = isa{"AVX2", 8, func() reg.VecVirtual { return YMM() }}
	avx512 = isa{"AVX512", 16, func() reg.VecVirtual { return ZMM() }}
)

func (v isa) bytes() int { return 4 * v.lanes }

func (v isa) zero() reg.VecVirtual {
	r := v.reg()
	clearReg(r)
	return r
}

// clearReg sets r to zero by the encoding that reaches every register of its width.
func clearReg(r reg.VecVirtual) {
	if r.Size() == 64 {
		VPXORD(r, r, r)
	} else {
		VXORPS(r, r, r)
	}
}

// narrow is x at the width of r.
func narrow(x, r reg.VecVirtual) reg.Register {
	if r.Size() < x.Size() {
		return x.AsY()
	}
	return x
}

// broadcast is a register of the float32 at m.
func (v isa) broadcast(m Mem) reg.VecVirtual {
	r := v.reg()
	VBROADCASTSS(m, r)
	return r
}

// field addresses a word of the argument block.
func field(p reg.Register, offset int) Mem { return Mem{Base: p, Disp: offset} }

func load(p reg.Register, offset int) reg.GPVirtual {
	r := GP64()
	MOVQ(field(p, offset), r)
	return r
}

package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets into kernel.depthwiseArgs.
const (
	rowX       = 8 * iota // the first pixel inside the image
	rowXPixel             // bytes between pixels of x
	rowXRow               // and between rows
	rowRows               // of the kernel that lie inside
	rowEnter              // the first column of the outputs' input that lies inside
	rowExit               // the column after the last
	rowW                  // the weights of the first row
	rowWTap               // bytes between weights of taps
	rowY                  //
	rowYPixel             // bytes between pixels of y
	rowCount              // pixels to store
	rowVectors            // of channels
	rowBias               // or nil
	rowFinish             // 0 nothing, 1 clamp, 2 SiLU, 3 HardSwish
	rowBounds             // lo, hi
)

// depthwiseRow generates outputs of one row of a depthwise convolution whose
// kernel is wide columns wide, for up to pixels neighbouring outputs: each input pixel is
// loaded once for each row of the kernel. Columns outside the image are passed over by
// entering the unrolled columns late and leaving them early.
func depthwiseRow(v isa, wide, stride, pixels int) {
	TEXT(fmt.Sprintf("depthwiseRow%s_%dx%d_%d", v.name, wide, stride, pixels), NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	channel := GP64() // bytes
	XORQ(channel, channel)
	Label("channels")
	acc := make([]reg.VecVirtual, pixels)
	for i := range acc {
		acc[i] = v.zero()
	}
	bias := load(p, rowBias)
	TESTQ(bias, bias)
	JZ(LabelRef("start"))
	for i := range acc {
		VMOVUPS(Mem{Base: bias, Index: channel, Scale: 1}, acc[i])
	}
	Label("start")
	row, w, rows := load(p, rowX), load(p, rowW), load(p, rowRows)
	ADDQ(channel, row)
	ADDQ(channel, w)
	enter, exit, step, tap := load(p, rowEnter), load(p, rowExit), load(p, rowXPixel), load(p, rowWTap)

	Label("row")
	weight := make([]reg.VecVirtual, wide)
	for k := range weight {
		weight[k] = v.reg()
		VMOVUPS(Mem{Base: w}, weight[k])
		ADDQ(tap, w)
	}
	x := GP64()
	MOVQ(row, x)
	for j := 1; j < wide; j++ {
		CMPQ(enter, Imm(uint64(j)))
		JE(LabelRef(fmt.Sprintf("column%d", j)))
	}
	columns := (pixels-1)*stride + wide
	for j := range columns {
		Label(fmt.Sprintf("column%d", j))
		value := v.reg()
		VMOVUPS(Mem{Base: x}, value)
		for i := range acc {
			if k := j - i*stride; k >= 0 && k < wide {
				VFMADD231PS(value, weight[k], acc[i])
			}
		}
		if j+1 < columns {
			CMPQ(exit, Imm(uint64(j+1)))
			JE(LabelRef("next"))
			ADDQ(step, x)
		}
	}
	Label("next")
	ADDQ(field(p, rowXRow), row)
	DECQ(rows)
	JNZ(LabelRef("row"))

	finishRow(v, p, acc)
	y, count := load(p, rowY), load(p, rowCount)
	ADDQ(channel, y)
	for i := range acc {
		VMOVUPS(acc[i], Mem{Base: y})
		if i+1 < pixels {
			CMPQ(count, Imm(uint64(i+1)))
			JE(LabelRef("stored"))
			ADDQ(field(p, rowYPixel), y)
		}
	}
	Label("stored")
	ADDQ(Imm(uint64(v.bytes())), channel)
	DECQ(field(p, rowVectors))
	JNZ(LabelRef("channels"))
	VZEROUPPER()
	RET()
}

// finishRow applies what follows the sums.
func finishRow(v isa, p reg.Register, acc []reg.VecVirtual) {
	each := func(name string, f func(x reg.VecVirtual)) {
		Label(name)
		for _, x := range acc {
			f(x)
		}
		JMP(LabelRef("store"))
	}
	how := load(p, rowFinish)
	for i, name := range []string{"store", "clamp", "silu"} {
		CMPQ(how, Imm(uint64(i)))
		JE(LabelRef(name))
	}
	each("hardSwish", func(x reg.VecVirtual) { VMOVUPS(hardSwish(v, x), x) })
	each("silu", func(x reg.VecVirtual) { VMOVUPS(silu(v, x), x) })
	Label("clamp")
	lo, hi := v.broadcast(field(p, rowBounds)), v.broadcast(field(p, rowBounds+4))
	for _, x := range acc {
		VMAXPS(x, lo, x)
		VMINPS(x, hi, x)
	}
	Label("store")
}

// sumRows generates y += the rows of x, for vectors neighbouring vectors.
func sumRows(v isa, vectors int) {
	start(fmt.Sprintf("sumRows%s_%d", v.name, vectors), "func(y, x *float32, stride, rows int)")
	y, x, stride, rows := arg("y"), arg("x"), arg("stride"), arg("rows")
	acc := make([]reg.VecVirtual, vectors)
	for i := range acc {
		acc[i] = v.constant(Mem{Base: y, Disp: i * v.bytes()})
	}
	Label("loop")
	for i := range acc {
		VADDPS(Mem{Base: x, Disp: i * v.bytes()}, acc[i], acc[i])
	}
	ADDQ(stride, x)
	DECQ(rows)
	JNZ(LabelRef("loop"))
	for i := range acc {
		VMOVUPS(acc[i], Mem{Base: y, Disp: i * v.bytes()})
	}
	end()
}

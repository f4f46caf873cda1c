package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets into kernel.tileArgs.
const (
	tileA        = 8 * iota
	tileLda      // bytes
	tileTaps     // offsets in bytes
	tileTapCount //
	tileK        //
	tileB        //
	tilePanel    // bytes
	tileC        //
	tileLdc      // bytes
	tileBias     // or nil
	tileResidual // or nil
	tileLdr      // bytes
	tileClamp    // 0 or 1
	tileBounds   // lo, hi
)

// rowAddress[i] is row i of A as a base row plus 0, 1, 2, 4 or 8 rows.
var rowAddress = [...][2]int{{0, 0}, {0, 1}, {0, 2}, {3, 0}, {0, 4}, {3, 2}, {5, 1}, {3, 4}, {0, 8}, {5, 4}, {10, 0}, {3, 8}, {10, 2}, {5, 8}}

func tiles(v isa) {
	if v.lanes == 8 {
		for rows := 1; rows <= 12; rows++ {
			tile(v, rows, 8)
		}
		for rows := 1; rows <= 6; rows++ {
			tile(v, rows, 16)
		}
		for rows := 1; rows <= 3; rows++ {
			tile(v, rows, 32)
		}
		tile(v, 1, 64)
		return
	}
	for _, width := range []int{8, 16, 24, 32} {
		for rows := 1; rows <= 14; rows++ {
			tile(v, rows, width)
		}
	}
	for rows := 1; rows <= 6; rows++ {
		tile(v, rows, 64)
	}
}

// tile generates C[rows x width] = act(A*B + bias + residual), the sum over
// taps and k in order. A panel of B is 16 columns, 64 bytes a row.
func tile(v isa, rows, width int) {
	TEXT(fmt.Sprintf("tile%s_%dx%d", v.name, rows, width), NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())

	// Columns: register widths, and their place in a row of C.
	var cols []reg.VecVirtual
	var at []int
	for c := 0; c < width; {
		r := v.reg()
		if width-c < v.lanes {
			r = YMM()
		}
		cols, at = append(cols, r), append(at, 4*c)
		c += int(r.Size()) / 4
	}
	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		for _, c := range cols {
			r := YMM()
			if c.Size() == 64 {
				r = ZMM()
			}
			clearReg(r)
			acc[i] = append(acc[i], r)
		}
	}
	sum(v, p, acc, cols, at)
	epilogue(v, p, acc, at)
	VZEROUPPER()
	RET()
}

// sum accumulates over the taps and k.
func sum(v isa, p reg.Register, acc [][]reg.VecVirtual, cols []reg.VecVirtual, at []int) {
	rows := len(acc)
	lda, taps, count := load(p, tileLda), load(p, tileTaps), load(p, tileTapCount)
	b, panel := load(p, tileB), load(p, tilePanel)
	var panel3 reg.GPVirtual
	if at[len(at)-1] >= 192 {
		panel3 = GP64()
		LEAQ(Mem{Base: panel, Index: panel, Scale: 2}, panel3)
	}
	column := func(j int) Mem {
		m := Mem{Base: b, Disp: at[j] % 64}
		switch at[j] / 64 {
		case 1:
			m.Index, m.Scale = panel, 1
		case 2:
			m.Index, m.Scale = panel, 2
		case 3:
			m.Index, m.Scale = panel3, 1
		}
		return m
	}
	base := map[int]reg.GPVirtual{}
	for i := range rows {
		if r := rowAddress[i][0]; base[r] == nil {
			base[r] = GP64()
		}
	}
	Label("tap")
	a := base[0]
	MOVQ(field(p, tileA), a)
	ADDQ(Mem{Base: taps}, a)
	ADDQ(Imm(8), taps)
	if r := base[3]; r != nil { // rows 3, 5 = 3+2, 10 = 2*5
		LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, r)
		ADDQ(a, r)
	}
	if r := base[5]; r != nil {
		LEAQ(Mem{Base: base[3], Index: lda, Scale: 2}, r)
	}
	if r := base[10]; r != nil { // 10 = 5 + 4 + 1
		LEAQ(Mem{Base: base[5], Index: lda, Scale: 4}, r)
		ADDQ(lda, r)
	}
	k := load(p, tileK)
	Label("loop")
	row := func(i int) reg.VecVirtual {
		m := Mem{Base: base[rowAddress[i][0]]}
		if s := rowAddress[i][1]; s > 0 {
			m.Index, m.Scale = lda, uint8(s)
		}
		return v.broadcast(m)
	}
	if rows < len(cols) { // hold the rows, one column at a time
		x := make([]reg.VecVirtual, rows)
		for i := range rows {
			x[i] = row(i)
		}
		for j := range cols {
			c := v.reg()
			if cols[j].Size() < c.Size() {
				c = YMM()
			}
			VMOVUPS(column(j), c)
			for i := range rows {
				VFMADD231PS(c, narrow(x[i], c), acc[i][j])
			}
		}
	} else {
		for j, c := range cols {
			VMOVUPS(column(j), c)
		}
		for i := range rows {
			x := row(i)
			for j, c := range cols {
				VFMADD231PS(c, narrow(x, c), acc[i][j])
			}
		}
	}
	for _, r := range []int{0, 3, 5, 10} {
		if base[r] != nil {
			ADDQ(Imm(4), base[r])
		}
	}
	ADDQ(Imm(64), b)
	DECQ(k)
	JNZ(LabelRef("loop"))
	DECQ(count)
	JNZ(LabelRef("tap"))
}

// epilogue adds bias and residual, clamps and stores.
func epilogue(v isa, p reg.Register, acc [][]reg.VecVirtual, at []int) {
	bias := load(p, tileBias)
	TESTQ(bias, bias)
	JZ(LabelRef("residual"))
	for j := range at {
		for i := range acc {
			VADDPS(Mem{Base: bias, Disp: at[j]}, acc[i][j], acc[i][j])
		}
	}
	Label("residual")
	r := load(p, tileResidual)
	TESTQ(r, r)
	JZ(LabelRef("clamp"))
	ldr := load(p, tileLdr)
	for i := range acc {
		for j := range at {
			VADDPS(Mem{Base: r, Disp: at[j]}, acc[i][j], acc[i][j])
		}
		if i+1 < len(acc) {
			ADDQ(ldr, r)
		}
	}
	Label("clamp")
	CMPQ(field(p, tileClamp), Imm(0))
	JE(LabelRef("store"))
	for h := range 2 {
		bound := v.broadcast(field(p, tileBounds+4*h))
		for i := range acc {
			for _, x := range acc[i] {
				if h == 0 { // NaN stays NaN: the second operand is the sum
					VMAXPS(x, narrow(bound, x), x)
				} else {
					VMINPS(x, narrow(bound, x), x)
				}
			}
		}
	}
	Label("store")
	c, ldc := load(p, tileC), load(p, tileLdc)
	for i := range acc {
		for j, x := range acc[i] {
			VMOVUPS(x, Mem{Base: c, Disp: at[j]})
		}
		if i+1 < len(acc) {
			ADDQ(ldc, c)
		}
	}
}

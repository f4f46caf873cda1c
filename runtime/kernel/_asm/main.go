// Command _asm generates the amd64 assembly of package kernel.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!noasm")
	for rows := 1; rows <= 6; rows++ {
		tile(fmt.Sprintf("igemm%dx16", rows), rows, "int16", "int32", func(acc, a, b reg.Register) {
			p := YMM()
			VPMADDWD(a, b, p)
			VPADDD(p, acc, acc)
		})
	}
	Generate()
}

// tile generates C[rows x 16] = A * B over steps of 4 bytes of A (one float32,
// or two int16) and 64 bytes of B. lda and ldc are in bytes.
func tile(name string, rows int, in, out string, multiply func(acc, a, b reg.Register)) {
	TEXT(name, NOSPLIT, fmt.Sprintf("func(k int, a *%s, lda int, b *%s, c *%s, ldc int)", in, in, out))
	Pragma("noescape")
	k := Load(Param("k"), GP64())
	a := Load(Param("a"), GP64())
	lda := Load(Param("lda"), GP64())
	b := Load(Param("b"), GP64())
	c := Load(Param("c"), GP64())
	ldc := Load(Param("ldc"), GP64())
	acc := make([][2]reg.VecVirtual, rows)
	for i := range acc {
		for j := range acc[i] {
			acc[i][j] = YMM()
			VPXOR(acc[i][j], acc[i][j], acc[i][j])
		}
	}
	// Rows 0-2 are addressed from a, rows 3-5 from a3 = a + 3*lda.
	a3 := GP64()
	LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, a3)
	ADDQ(a, a3)
	row := func(i int) Mem {
		m := Mem{Base: a}
		if i >= 3 {
			m.Base, i = a3, i-3
		}
		if i > 0 {
			m.Index, m.Scale = lda, uint8(i)
		}
		return m
	}
	TESTQ(k, k)
	JZ(LabelRef("store"))
	Label("loop")
	b0, b1 := YMM(), YMM()
	VMOVUPS(Mem{Base: b}, b0)
	VMOVUPS(Mem{Base: b, Disp: 32}, b1)
	for i := range rows {
		v := YMM()
		VBROADCASTSS(row(i), v)
		multiply(acc[i][0], v, b0)
		multiply(acc[i][1], v, b1)
	}
	ADDQ(Imm(4), a)
	ADDQ(Imm(4), a3)
	ADDQ(Imm(64), b)
	DECQ(k)
	JNZ(LabelRef("loop"))
	Label("store")
	for i := range rows {
		VMOVUPS(acc[i][0], Mem{Base: c})
		VMOVUPS(acc[i][1], Mem{Base: c, Disp: 32})
		if i+1 < rows {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

//go:build !amd64 || noasm

package kernel

func (g *Gemm) tiles(g0, g1, r0, r1, n0, n1 int) { panic("kernel: no assembly") }

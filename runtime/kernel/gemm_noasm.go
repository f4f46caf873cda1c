//go:build !amd64 || noasm

package kernel

var igemmTiles struct{}

func gemm[I, O any](m, n, k int, a []I, lda int, packed []I, panel int, c []O, ldc, step int, tiles *struct{}) {
	panic("kernel: no assembly")
}

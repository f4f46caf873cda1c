//go:build !amd64 || noasm

package kernel

func adamAVX2(n int, w, g, m, v, c *float32)    { panic("kernel: no assembly") }
func maskAVX2(n int, dst, w, mask *float32)     { panic("kernel: no assembly") }
func reluBackAVX2(n int, dst, y, grad *float32) { panic("kernel: no assembly") }
func transpose8AVX2(n int, src *float32, srcStride int, dst *float32, dstStride int) {
	panic("kernel: no assembly")
}
func copyRowsAVX2(rows, width int, dst *float32, dstStride int, src *float32, srcStride int) {
	panic("kernel: no assembly")
}
func addRowsAVX2(rows, width int, dst *float32, dstStride int, src *float32, srcStride int) {
	panic("kernel: no assembly")
}
func axpyRowsAVX2(rows, width int, dst *float32, dstStride int, src *float32, srcStride int, a float32) {
	panic("kernel: no assembly")
}
func dotRowsAVX2(rows, width int, dst *float32, dstStride int, src *float32, srcStride int, sum *[13]float32) {
	panic("kernel: no assembly")
}
func addScalarAVX2(n int, dst *float32, x float32) { panic("kernel: no assembly") }
func maxPool2AVX2(rows, cols int, dst *float32, at *int32, src *float32, width int) {
	panic("kernel: no assembly")
}
func clipBackAVX2(n int, dst, x, grad *float32, lo, hi float32) { panic("kernel: no assembly") }
func stencilAVX2(blocks int, dst, src *float32, offsets *int, w *float32, taps int) {
	panic("kernel: no assembly")
}
func stencilDotsAVX2(groups, n int, grad, src *float32, offsets *int, sums *float32) {
	panic("kernel: no assembly")
}

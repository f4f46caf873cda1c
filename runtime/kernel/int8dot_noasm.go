//go:build !amd64 || noasm

package kernel

func chooseDot(fits, pairsFit bool) (dot dotKernel, wide bool, panels int) {
	return dotGeneric, !fits, 1
}

func (dotKernel) run(rows, panels int, t *dotTile) {}

func saturatingDot() dotKernel { return dotGeneric }

func chooseDepthwise(fits bool) (run depthwiseKernel, step, widest int) {
	return depthwiseGeneric, 1, 0
}

func (depthwiseKernel) run(width int, t *channelTile) {}

// widestMaxPool is the channels of the widest block of maxPool, 0 if there is none.
func widestMaxPool() int { return 0 }

func maxPool(width int, t *channelTile) {}

func add8Fast(k *binary8, dst, a, b []byte) int { return 0 }

func mul8Fast(k *binary8, dst, a, b []byte) int { return 0 }

func quantize8Fast(dst []byte, x []float32, q Affine8, lo, hi int32) int { return 0 }

func dequantize8Fast(dst []float32, x []byte, q Affine8) int { return 0 }

func scale8Fast(dst []float32, sums []int32, scale, shift []float32) int { return 0 }

func widen8Fast(dst []int16, x []byte, zero, flip int32) int { return 0 }

func table8Fast(dst, src []byte, table *[256]byte) int { return 0 }

func sum8Fast(b []byte, flip byte) (sum int32, n int) { return 0, 0 }

func boundsFast(x []float32) (lo, hi float32, n int) { return 0, 0, 0 }

package kernel

import (
	"fmt"
	"unsafe"
)

// Winograd's F(4x4, 3x3) (Lavin and Gray, 2015): 4x4 outputs of a convolution
// with a 3x3 kernel and stride 1 are A^T ((G g G^T) . (B^T d B)) A of the 6x6
// inputs d, so that the sum over channels is 36 matrix products, a quarter of
// the multiplications.
const (
	WinogradTile  = 4
	WinogradInput = WinogradTile + 2
	// WinogradProducts is the number of products.
	WinogradProducts = WinogradInput * WinogradInput
)

var (
	winogradB = [6][6]float32{{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}}
	winogradG = [6][3]float64{{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6}, {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}}
	winogradA = [4][6]float32{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}
)

// PackWinograd transforms the weights w [o][c][3][3] and packs them for Gemm,
// one product after the other. scratch is of 36*o*c elements.
func PackWinograd(w []float32, o, c int, scratch []float32) []float32 {
	size := Panels(o) * Lanes * c
	out := make([]float32, WinogradProducts*size)
	one := scratch[:WinogradProducts*o*c] // [36][o][c]
	for k := range o * c {
		g := w[k*9 : k*9+9]
		var half [6][3]float64 // G g
		for i := range half {
			for j := range 3 {
				for l := range 3 {
					half[i][j] += winogradG[i][l] * float64(g[l*3+j])
				}
			}
		}
		for i := range 6 {
			for j := range 6 {
				s := 0.0
				for l := range 3 {
					s += half[i][l] * winogradG[j][l]
				}
				one[(i*6+j)*o*c+k] = float32(s)
			}
		}
	}
	for p := range WinogradProducts {
		PackB(out[p*size:(p+1)*size], one[p*o*c:(p+1)*o*c], c, o, 1, c)
	}
	return out
}

// Transform is one of the two transforms around the products, for whole
// vectors of channels.
type Transform struct {
	Output          bool
	Channels        int
	SrcRow, SrcStep int // elements between rows and columns of the source
	DstRow, DstStep int // and of the result
	Bias            []float32
	Clamp           bool // bounds the result by Lo and Hi
	Lo, Hi          float32
	temp            [WinogradProducts * Lanes]float32
}

// Run transforms one tile: 6x6 to 6x6, or for the output 6x6 to 4x4 plus bias
// and the residual, which is placed as dst is, or nil. It panics if a slice is
// too short.
func (t *Transform) Run(dst, src, residual []float32) {
	n := 6
	if t.Output {
		n = 4
	}
	reach := func(rows, row, step int) int { return (rows-1)*(row+step) + t.Channels }
	if reach(6, t.SrcRow, t.SrcStep) > len(src) || reach(n, t.DstRow, t.DstStep) > len(dst) ||
		residual != nil && reach(n, t.DstRow, t.DstStep) > len(residual) || t.Bias != nil && len(t.Bias) < t.Channels {
		panic(fmt.Sprintf("kernel: transform of %d channels out of range", t.Channels))
	}
	if useAVX2 && t.Channels > 0 && t.Channels%Lanes == 0 {
		t.vectors(dst, src, residual)
		return
	}
	t.generic(dst, src, residual)
}

func (t *Transform) generic(dst, src, residual []float32) {
	m := winogradB[:]
	if t.Output {
		m = winogradA[:]
	}
	for c := range t.Channels {
		var half [6][6]float32
		for j := range 6 {
			var column [6]float32
			for l := range column {
				column[l] = src[l*t.SrcRow+j*t.SrcStep+c]
			}
			for i := range m {
				half[i][j] = combine(&m[i], &column)
			}
		}
		for i := range m {
			for j := range m {
				s := combine(&m[j], &half[i])
				at := i*t.DstRow + j*t.DstStep + c
				if t.Bias != nil {
					s += t.Bias[c]
				}
				if residual != nil {
					s += residual[at]
				}
				if t.Clamp {
					s = clamp(s, t.Lo, t.Hi)
				}
				dst[at] = s
			}
		}
	}
}

// combine is the sum of k[i]*in[i], those of coefficient 1 first.
func combine(k, in *[6]float32) float32 {
	s, first := float32(0), true
	for i, c := range k {
		switch {
		case c == 1 && first:
			s, first = in[i], false
		case c == 1:
			s += in[i]
		}
	}
	for i, c := range k {
		if c != 0 && c != 1 {
			s = FMA32(c, in[i], s)
		}
	}
	return s
}

// winogradArgs is the argument block of the assembly; _asm/float/winograd.go
// has its offsets. Distances are in bytes.
type winogradArgs struct {
	src             unsafe.Pointer
	srcRow, srcStep int
	dst             unsafe.Pointer
	dstRow, dstStep int
	vectors         int
	temp            unsafe.Pointer
	bias, residual  unsafe.Pointer
	clamp           int
	lo, hi          float32
}

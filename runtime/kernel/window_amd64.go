//go:build !noasm

package kernel

import "unsafe"

// vectors computes the channels in vectors and says how many: none below 8, else all. Those beyond
// whole vectors are the end of one more, whose other channels are computed twice.
func (w *Window) vectors(y, x []float32, pixels int) int {
	n := lanes()
	if w.Channels < n {
		n = 8
	}
	if w.Channels < n {
		return 0
	}
	w.columns(y, x, pixels, 0, w.Channels/n, n)
	if rest := w.Channels % n; rest > 0 {
		if rest <= 8 {
			n = 8
		}
		w.columns(y, x, pixels, w.Channels-n, 1, n)
	}
	return w.Channels
}

// columns computes that many vectors of n channels, from channel first on.
func (w *Window) columns(y, x []float32, pixels, first, vectors, n int) {
	args := windowArgs{stride: 4 * w.Stride, taps: unsafe.Pointer(&w.offsets[0]), count: len(w.Taps),
		yStride: 4 * w.YStride, vectors: vectors, lo: w.Lo, hi: w.Hi}
	if w.W != nil {
		args.w = unsafe.Pointer(&w.W[first])
	}
	if w.Bias != nil {
		args.bias = unsafe.Pointer(&w.Bias[first])
	}
	if w.Clamp {
		args.clamp = 1
	}
	groups := (pixels + 7) / 8
	for g := range groups { // of even size
		from, to := pixels*g/groups, pixels*(g+1)/groups
		args.x, args.y = unsafe.Pointer(&x[from*w.Stride+first]), unsafe.Pointer(&y[from*w.YStride+first])
		runWindow(to-from, w.W == nil, n == 16, &args)
	}
}

func runWindow(pixels int, maximum, wide bool, args *windowArgs) {
	p := (*byte)(unsafe.Pointer(args))
	code := pixels
	if maximum {
		code += 16
	}
	if wide {
		code += 32
	}
	switch code {
	case 1:
		depthwiseAVX2_1(p)
	case 2:
		depthwiseAVX2_2(p)
	case 3:
		depthwiseAVX2_3(p)
	case 4:
		depthwiseAVX2_4(p)
	case 5:
		depthwiseAVX2_5(p)
	case 6:
		depthwiseAVX2_6(p)
	case 7:
		depthwiseAVX2_7(p)
	case 8:
		depthwiseAVX2_8(p)
	case 17:
		maxPoolAVX2_1(p)
	case 18:
		maxPoolAVX2_2(p)
	case 19:
		maxPoolAVX2_3(p)
	case 20:
		maxPoolAVX2_4(p)
	case 21:
		maxPoolAVX2_5(p)
	case 22:
		maxPoolAVX2_6(p)
	case 23:
		maxPoolAVX2_7(p)
	case 24:
		maxPoolAVX2_8(p)
	case 33:
		depthwiseAVX512_1(p)
	case 34:
		depthwiseAVX512_2(p)
	case 35:
		depthwiseAVX512_3(p)
	case 36:
		depthwiseAVX512_4(p)
	case 37:
		depthwiseAVX512_5(p)
	case 38:
		depthwiseAVX512_6(p)
	case 39:
		depthwiseAVX512_7(p)
	case 40:
		depthwiseAVX512_8(p)
	case 49:
		maxPoolAVX512_1(p)
	case 50:
		maxPoolAVX512_2(p)
	case 51:
		maxPoolAVX512_3(p)
	case 52:
		maxPoolAVX512_4(p)
	case 53:
		maxPoolAVX512_5(p)
	case 54:
		maxPoolAVX512_6(p)
	case 55:
		maxPoolAVX512_7(p)
	case 56:
		maxPoolAVX512_8(p)
	default:
		panic("kernel: no such window")
	}
}

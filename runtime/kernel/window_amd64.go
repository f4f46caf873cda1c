//go:build !noasm

package kernel

import "unsafe"

// vectors computes all channels that fill vectors and says how many.
func (w *Window) vectors(y, x []float32, pixels int) int {
	n := lanes()
	args := windowArgs{stride: 4 * w.Stride, taps: unsafe.Pointer(&w.offsets[0]), count: len(w.Taps),
		yStride: 4 * w.YStride, vectors: w.Channels / n, lo: w.Lo, hi: w.Hi}
	if args.vectors == 0 {
		return 0
	}
	if w.W != nil {
		args.w = unsafe.Pointer(&w.W[0])
	}
	if w.Bias != nil {
		args.bias = unsafe.Pointer(&w.Bias[0])
	}
	if w.Clamp {
		args.clamp = 1
	}
	groups := (pixels + 7) / 8
	for g := range groups { // of even size
		from, to := pixels*g/groups, pixels*(g+1)/groups
		args.x, args.y = unsafe.Pointer(&x[from*w.Stride]), unsafe.Pointer(&y[from*w.YStride])
		runWindow(to-from, w.W == nil, &args)
	}
	return args.vectors * n
}

func runWindow(pixels int, maximum bool, args *windowArgs) {
	p := (*byte)(unsafe.Pointer(args))
	code := pixels
	if maximum {
		code += 16
	}
	if useAVX512 {
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

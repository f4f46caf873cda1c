package kernel

import "fmt"

// StencilBlock is what the length of a stencil's result is a multiple of, and
// StencilTaps the number of taps of one sum of StencilDots.
const (
	StencilBlock = 64
	StencilTaps  = 3
	stencilLanes = 16
)

// Stencil is dst[i] = sum over k of w[k] * src[offsets[k]+i], each product added
// with one rounding, in order, from 0 on.
func Stencil(dst, src []float32, offsets []int, w []float32) {
	checkStencil(len(dst), len(src), offsets)
	w = w[:len(offsets)]
	if len(dst) == 0 || len(w) == 0 {
		clear(dst)
		return
	}
	if useAVX2 {
		stencilAVX2(len(dst)/StencilBlock, &dst[0], &src[0], &offsets[0], &w[0], len(w))
		return
	}
	clear(dst)
	for k, at := range offsets {
		axpy(dst, w[k], src[at:at+len(dst)])
	}
}

// StencilDots adds the derivatives of Stencil by its weights: the sum over i of
// g[i] * src[offsets[k]+i], each product added with one rounding, to
// sums[k*16 + i mod 16]. The number of offsets is a multiple of StencilTaps.
func StencilDots(sums []float32, g, src []float32, offsets []int) {
	checkStencil(len(g), len(src), offsets)
	sums = sums[:len(offsets)*stencilLanes]
	if len(offsets)%StencilTaps != 0 {
		panic(fmt.Sprintf("kernel: a stencil of %d taps", len(offsets)))
	}
	if len(g) == 0 || len(offsets) == 0 {
		return
	}
	if useAVX2 {
		stencilDotsAVX2(len(offsets)/StencilTaps, len(g), &g[0], &src[0], &offsets[0], &sums[0])
		return
	}
	for k, at := range offsets {
		sum, x := sums[k*stencilLanes:][:stencilLanes], src[at:at+len(g)]
		for i, v := range g {
			sum[i%stencilLanes] = FMA32(v, x[i], sum[i%stencilLanes])
		}
	}
}

// StencilSums is the sums of StencilDots, lane after lane.
func StencilSums(dst, sums []float32) {
	for k := range dst {
		total := float32(0)
		for _, v := range sums[k*stencilLanes:][:stencilLanes] {
			total += v
		}
		dst[k] += total
	}
}

func checkStencil(n, src int, offsets []int) {
	for _, at := range offsets {
		if at < 0 || at+n > src || n%StencilBlock != 0 {
			panic(fmt.Sprintf("kernel: stencil of %d elements at %d out of range", n, at))
		}
	}
}

// ClipBack is the derivative of Clip: dst = g where lo < x < hi, else 0.
func ClipBack(dst, x, g []float32, lo, hi float32) {
	x, g = x[:len(dst)], g[:len(dst)]
	n := 0
	if useAVX2 && len(dst) >= 8 {
		n = len(dst) &^ 7
		clipBackAVX2(n, &dst[0], &x[0], &g[0], lo, hi)
	}
	for i := n; i < len(dst); i++ {
		dst[i] = 0
		if x[i] > lo && x[i] < hi {
			dst[i] = g[i]
		}
	}
}

package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// Depthwise computes rows of a depthwise convolution over channels-last images
// without dilation: y[o][c] is the sum over the kernel's rows ky and columns kx of
// x[ky][o*Stride-Left+kx][c] * W[ky][kx][c], as far as they lie inside the image,
// plus a bias, and a function of it. Sums are in the order bias, ky, kx.
type Depthwise struct {
	Channels, Wide, Stride int // Wide is the columns of the kernel
	Width, Left            int // pixels in a row of the image, and of padding before it
	W                      []float32
	Bias                   []float32 // or nil
	Act                    Function
}

// FastDepthwise reports kernels that vectors compute faster as rows than as windows.
func FastDepthwise(wide, stride int) bool {
	return (wide == 3 || wide == 5 || wide == 7) && (stride == 1 || stride == 2)
}

// Row computes pixels outputs from the rows [low, high) of the kernel, the first of which
// reads from x[0] on, the others rowStride elements further each. It panics if a
// slice is too short.
func (d *Depthwise) Row(y, x []float32, rowStride, low, high, pixels int) {
	c := d.Channels
	if pixels <= 0 || c == 0 {
		return
	}
	rows := high - low
	if low < 0 || rows < 0 || d.Width < 1 || d.Left < 0 || rowStride < 0 || pixels*c > len(y) || d.Bias != nil && len(d.Bias) < c ||
		rows > 0 && ((rows-1)*rowStride+d.Width*c > len(x) || high*d.Wide*c > len(d.W)) {
		panic(fmt.Sprintf("kernel: depthwise row of %d pixels of %d channels out of range", pixels, c))
	}
	if useAVX2 && rows > 0 && FastDepthwise(d.Wide, d.Stride) && c >= 8 {
		d.vectors(y, x, rowStride, low, high, pixels)
		return
	}
	d.generic(y, x, rowStride, low, high, 0, pixels)
}

// generic computes the outputs [from, to) in plain Go.
func (d *Depthwise) generic(y, x []float32, rowStride, low, high, from, to int) {
	c := d.Channels
	for o := from; o < to; o++ {
		for ch := range c {
			v := float32(0)
			if d.Bias != nil {
				v = d.Bias[ch]
			}
			for ky := low; ky < high; ky++ {
				for kx := range d.Wide {
					if at := o*d.Stride - d.Left + kx; at >= 0 && at < d.Width {
						v = FMA32(x[(ky-low)*rowStride+at*c+ch], d.W[(ky*d.Wide+kx)*c+ch], v)
					}
				}
			}
			y[o*c+ch] = v
		}
	}
	d.Act.Apply(y[from*c:to*c], y[from*c:to*c])
}

// depthwiseArgs is the argument block of the assembly; _asm/float/depthwise.go
// has its offsets. Distances are in bytes.
type depthwiseArgs struct {
	x            unsafe.Pointer
	xPixel, xRow int
	rows         int
	enter, exit  int
	w            unsafe.Pointer
	wTap         int
	y            unsafe.Pointer
	yPixel       int
	count        int
	vectors      int
	bias         unsafe.Pointer
	finish       int
	lo, hi       float32
}

// setFinish says how the assembly applies Act; false if it does not.
func (a *depthwiseArgs) setFinish(f Function) bool {
	switch {
	case f.Kind == Copy:
		a.finish = 0
	case f.Kind == Relu:
		a.finish, a.lo, a.hi = 1, 0, float32(math.Inf(1))
	case f == Clip(f.Lo, f.Hi) && math.Signbit(float64(f.B)):
		a.finish, a.lo, a.hi = 1, f.Lo, f.Hi
	case f.Kind == SiLU:
		a.finish = 2
	case f.Kind == HardSwish:
		a.finish = 3
	default:
		a.finish = 0
		return false
	}
	return true
}

// SumRows adds rows of x, each as long as y and stride after the one before, to
// y, in order.
func SumRows(y, x []float32, stride, rows int) {
	n, done := len(y), 0
	if n == 0 || rows <= 0 {
		return
	}
	_ = x[(rows-1)*stride+n-1]
	if useAVX2 {
		done = sumRowsVectors(y, x, stride, rows)
	}
	if done < n {
		for r := range rows {
			for i, v := range x[r*stride+done : r*stride+n] {
				y[done+i] += v
			}
		}
	}
}

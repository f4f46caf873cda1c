package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// image is the geometry of a two-dimensional convolution or pool over NCHW.
type image struct {
	n, c, h, w       int // input
	m, oh, ow        int // output
	kh, kw           int
	sh, sw, dh, dw   int
	top, left, group int
}

// newImage resolves the geometry; false unless it has two spatial dims (one is
// taken as a height of 1) and is valid: the reference reports the error.
func newImage(a *op.Attrs, x, w []int) (image, bool) {
	g, err := op.NewConvGeometry(a, x, w)
	if err != nil || len(x) > 4 {
		return image{}, false
	}
	win := g.Window()
	im := image{n: x[0], c: x[1], m: w[0], group: g.Group()}
	pick := func(v []int, one int) (int, int) {
		if len(v) == 1 {
			return one, v[0]
		}
		return v[0], v[1]
	}
	im.h, im.w = pick(x[2:], 1)
	im.kh, im.kw = pick(w[2:], 1)
	im.oh, im.ow = pick(g.Out()[2:], 1)
	im.sh, im.sw = pick(win.Strides, 1)
	im.dh, im.dw = pick(win.Dilations, 1)
	im.top, im.left = pick(win.Before, 0)
	return im, true
}

// columns visits, for kernel position (ky, kx), the output rows whose input
// row lies inside the image: output columns [x0, x1) of row oy read input
// elements from+ (ox-x0)*sw of one channel plane.
func (im *image) columns(ky, kx int, f func(oy, x0, x1, from int)) {
	off := kx*im.dw - im.left
	x0 := 0
	if off < 0 {
		x0 = (-off + im.sw - 1) / im.sw
	}
	x1 := min(im.ow, (im.w-1-off)/im.sw+1)
	if im.w-1-off < 0 || x0 >= x1 {
		return
	}
	for oy := range im.oh {
		if iy := oy*im.sh - im.top + ky*im.dh; iy >= 0 && iy < im.h {
			f(oy, x0, x1, iy*im.w+x0*im.sw+off)
		}
	}
}

func matchConv(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("Conv") {
		return nil
	}
	attrs, ok := l.attrs(n)
	if !ok {
		return nil
	}
	var packed []float32
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := float32In(in)
		if !ok {
			return nil, errFallback
		}
		im, ok := newImage(attrs, t[0].Shape, t[1].Shape)
		if !ok {
			return nil, errFallback
		}
		var bias []float32
		if len(t) > 2 && t[2] != nil {
			bias = t[2].Float32s()
		}
		out := tensor.New(tensor.Float32, convShape(t[0].Shape, im)...)
		x, w, y := t[0].Float32s(), t[1].Float32s(), tensor.View[float32](out)
		if im.group == im.c && im.m == im.c {
			depthwise(&im, x, w, bias, y)
		} else {
			packed = convolve(&im, x, w, bias, y, packed)
		}
		return []tensor.Value{out}, nil
	}}
}

func convShape(x []int, im image) []int {
	if len(x) == 3 {
		return []int{im.n, im.m, im.ow}
	}
	return []int{im.n, im.m, im.oh, im.ow}
}

// convolve multiplies the weights [M, C/group*kh*kw] with the matrix of image
// patches, packed by patch, for each image and group.
func convolve(im *image, x, w, bias, y, packed []float32) []float32 {
	cg, mg, pixels := im.c/im.group, im.m/im.group, im.oh*im.ow
	k := cg * im.kh * im.kw
	for n := range im.n {
		for g := range im.group {
			packed = patches(im, packed, x[(n*im.c+g*cg)*im.h*im.w:], cg, 0)
			c := y[(n*im.m+g*mg)*pixels : (n*im.m+(g+1)*mg)*pixels]
			kernel.Sgemm(mg, pixels, k, w[g*mg*k:], k, packed, c, pixels)
			if bias != nil {
				for m := range mg {
					addScalar(c[m*pixels:(m+1)*pixels], bias[g*mg+m])
				}
			}
		}
	}
	return packed
}

func addScalar(v []float32, b float32) {
	for i := range v {
		v[i] += b
	}
}

// patches packs the patch matrix of channels [0, cg) of one image for Sgemm:
// row (c, ky, kx), column (oy, ox).
func patches(im *image, packed, x []float32, cg int, pad float32) []float32 {
	taps, pixels := im.kh*im.kw, im.oh*im.ow
	k := cg * taps
	size := kernel.Panels(pixels) * k * kernel.Lanes
	if cap(packed) < size {
		packed = make([]float32, size)
	}
	packed = packed[:size]
	clear(packed)
	for t := range taps {
		im.columns(t/im.kw, t%im.kw, func(oy, x0, x1, from int) {
			for c := range cg {
				src := x[c*im.h*im.w+from:]
				row := (c*taps + t) * kernel.Lanes
				for i, pix := 0, oy*im.ow+x0; pix < oy*im.ow+x1; i, pix = i+im.sw, pix+1 {
					packed[pix/kernel.Lanes*k*kernel.Lanes+row+pix%kernel.Lanes] = src[i]
				}
			}
		})
	}
	return packed
}

// depthwise convolves each channel with its own kernel.
func depthwise(im *image, x, w, bias, y []float32) {
	taps, pixels, plane := im.kh*im.kw, im.oh*im.ow, im.h*im.w
	for t := range taps {
		im.columns(t/im.kw, t%im.kw, func(oy, x0, x1, from int) {
			for nc := range im.n * im.c {
				v := w[nc%im.c*taps+t]
				src, dst := x[nc*plane+from:], y[nc*pixels+oy*im.ow+x0:nc*pixels+oy*im.ow+x1]
				for i := range dst {
					dst[i] += v * src[i*im.sw]
				}
			}
		})
	}
	if bias != nil {
		for nc := range im.n * im.c {
			addScalar(y[nc*pixels:(nc+1)*pixels], bias[nc%im.c])
		}
	}
}

func matchMaxPool(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("MaxPool") || len(n.Outputs()) > 1 {
		return nil
	}
	attrs, ok := l.attrs(n)
	if !ok {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := float32In(in)
		if !ok || t[0].Rank() != 4 {
			return nil, errFallback
		}
		im, ok := newPoolImage(attrs, t[0].Shape)
		if !ok {
			return nil, errFallback
		}
		out := tensor.New(tensor.Float32, im.n, im.c, im.oh, im.ow)
		maxPool(&im, t[0].Float32s(), tensor.View[float32](out), negInf)
		return []tensor.Value{out}, nil
	}}
}

func newPoolImage(a *op.Attrs, x []int) (image, bool) {
	k := a.Ints("kernel_shape")
	if len(k) != 2 || len(x) != 4 {
		return image{}, false
	}
	win, out, err := op.NewPoolGeometry(a, x)
	if err != nil {
		return image{}, false
	}
	return image{n: x[0], c: x[1], h: x[2], w: x[3], m: x[1], oh: out[0], ow: out[1], kh: k[0], kw: k[1],
		sh: win.Strides[0], sw: win.Strides[1], dh: win.Dilations[0], dw: win.Dilations[1], top: win.Before[0], left: win.Before[1], group: 1}, true
}

func maxPool[T float32 | uint8 | int8](im *image, x, y []T, lowest T) {
	for i := range y {
		y[i] = lowest
	}
	pixels, plane := im.oh*im.ow, im.h*im.w
	for t := range im.kh * im.kw {
		im.columns(t/im.kw, t%im.kw, func(oy, x0, x1, from int) {
			for nc := range im.n * im.c {
				src, dst := x[nc*plane+from:], y[nc*pixels+oy*im.ow+x0:nc*pixels+oy*im.ow+x1]
				for i := range dst {
					if v := src[i*im.sw]; v > dst[i] || v != v {
						dst[i] = v
					}
				}
			}
		})
	}
}

package runtime

import "onnxopt/onnx/op"

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

package runtime

import (
	"slices"

	"onnxopt/runtime/kernel"
)

// sliding is the windows of a depthwise convolution or a pool over an image,
// channels last: one for each class of output rows and of output columns
// whose taps inside the image are the same, so that nothing is padded.
type sliding struct {
	rows, cols []windowClass
	at         [][]kernel.Window
}

// windowClass is the outputs [first, end) along one axis, whose taps [low,
// high) lie inside the image.
type windowClass struct{ first, end, low, high int }

func windowClasses(outputs, stride, dilation, kernel, pad, size int) []windowClass {
	var out []windowClass
	for o := range outputs {
		low, high := 0, kernel
		for low < kernel && o*stride-pad+low*dilation < 0 {
			low++
		}
		for high > low && o*stride-pad+(high-1)*dilation >= size {
			high--
		}
		if n := len(out) - 1; n >= 0 && out[n].low == low && out[n].high == high {
			out[n].end = o + 1
		} else {
			out = append(out, windowClass{o, o + 1, low, high})
		}
	}
	return out
}

// sliding makes the windows of an image; the weights of tap t are those from
// t*channels on.
func (im *image) sliding() *sliding {
	w := &sliding{rows: windowClasses(im.oh, im.sh, im.dh, im.kh, im.top, im.h), cols: windowClasses(im.ow, im.sw, im.dw, im.kw, im.left, im.w)}
	for _, r := range w.rows {
		var line []kernel.Window
		for _, c := range w.cols {
			win := kernel.Window{Channels: im.c, Stride: im.sw * im.c, YStride: im.c}
			for ky := r.low; ky < r.high; ky++ {
				for kx := c.low; kx < c.high; kx++ {
					win.Taps = append(win.Taps, kernel.Tap{X: ((ky-r.low)*im.dh*im.w + (kx-c.low)*im.dw) * im.c, W: (ky*im.kw + kx) * im.c})
				}
			}
			win.Prepare()
			line = append(line, win)
		}
		w.at = append(w.at, line)
	}
	return w
}

// eachRow calls body for each output row, counted over all images, on the
// session's threads.
func (im *image) eachRow(f *frame, classes []windowClass, body func(o int, class windowClass)) {
	total, row := im.n*im.oh, im.ow*im.c
	step := max(min(stripBytes/4/max(row, 1), total/max(4*f.s.workers.threads, 1)), 1)
	f.do((total+step-1)/step, func(_, part int) {
		for o := part * step; o < min((part+1)*step, total); o++ {
			i := 0
			for o%im.oh >= classes[i].end {
				i++
			}
			body(o, classes[i])
		}
	})
}

// firstRow is where the first tap inside the image of output row o is; where it
// has none, it is 0.
func (im *image) firstRow(o int, class windowClass) int {
	if class.low == class.high {
		return 0
	}
	return (o/im.oh*im.h + max(o%im.oh*im.sh-im.top+class.low*im.dh, 0)) * im.w * im.c
}

// slide runs the windows over all images, on the session's threads. set
// completes a window; after is called for each output row, counted over all
// images, when it is done.
func (im *image) slide(f *frame, ws *sliding, set func(w *kernel.Window), x, y []float32, after func(row int)) {
	local := make([][]kernel.Window, len(ws.at))
	for i := range ws.rows {
		for _, w := range ws.at[i] {
			set(&w)
			local[i] = append(local[i], w)
		}
	}
	row := im.ow * im.c
	im.eachRow(f, ws.rows, func(o int, r windowClass) {
		line := x[im.firstRow(o, r):]
		windows := local[slices.Index(ws.rows, r)]
		for j, c := range ws.cols {
			at := max(c.first*im.sw-im.left+c.low*im.dw, 0) * im.c
			if r.low == r.high || c.low == c.high {
				at = 0
			}
			windows[j].Run(y[o*row+c.first*im.c:(o+1)*row], line[at:], c.end-c.first)
		}
		after(o)
	})
}

package runtime

import (
	"math"
	"slices"
	"unsafe"

	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// windows is how the kernel finds the pixels of a window, for one shape.
type windows struct {
	shape   []int
	im      image
	offsets []int32 // of each output pixel, in elements
	taps    []int
	taps32  []int32
	// copied says that the image is copied with a frame of padding, ph x pw.
	copied bool
	ph, pw int
	padded []byte // a row of padding
	// stuff is the distance of the pixels of the input in each direction, which
	// padding fills; 0 is 1.
	stuff [2]int
}

func (w *windows) plan(shape []int, im image, merged bool, need int, wide bool) error {
	*w = windows{shape: slices.Clone(shape), im: im, stuff: [2]int{max(w.stuff[0], 1), max(w.stuff[1], 1)}}
	w.ph = max((im.oh-1)*im.sh+(im.kh-1)*im.dh+1, im.top+im.h)
	w.pw = max((im.ow-1)*im.sw+(im.kw-1)*im.dw+1, im.left+im.w)
	run := im.c / im.group
	if merged {
		run *= im.kw
	}
	w.copied = wide || w.stuff != [2]int{1, 1} || w.ph > im.h || w.pw > im.w || run%need != 0
	if !w.copied {
		w.ph, w.pw = im.h, im.w
	}
	if im.n*w.ph*w.pw*im.c > math.MaxInt32/2 || im.n*im.oh*im.ow > math.MaxInt32/8 {
		*w = windows{}
		return errFallback
	}
	w.offsets = make([]int32, 0, im.n*im.oh*im.ow)
	for n := range im.n {
		for y := range im.oh {
			for x := range im.ow {
				w.offsets = append(w.offsets, int32(((n*w.ph+y*im.sh)*w.pw+x*im.sw)*im.c))
			}
		}
	}
	for ky := range im.kh {
		for kx := range im.kw {
			if kx == 0 || !merged {
				tap := (ky*im.dh*w.pw + kx*im.dw) * im.c
				w.taps, w.taps32 = append(w.taps, tap), append(w.taps32, int32(tap))
			}
		}
	}
	return nil
}

// bytes is the image as the kernel reads it: x itself, or a copy within a
// frame of the byte zero, or of int16 less it.
func (w *windows) bytes(f *frame, x *tensor.Tensor, zero byte, wide bool) unsafe.Pointer {
	if x.Len() == 0 || len(w.offsets) == 0 {
		return nil
	}
	if !w.copied {
		return unsafe.Pointer(&x.Bytes()[0])
	}
	im := &w.im
	row, src := w.pw*im.c, x.Bytes()
	if wide {
		z, signed := int32(zero), x.Type == tensor.Int8
		if signed {
			z = int32(int8(zero))
		}
		out := f.new(tensor.Int16, im.n*w.ph*row+32)
		dst := tensor.View[int16](out)
		w.eachRow(f, func(i, at, n int) {
			clear(dst[i : i+row])
		}, func(to, at, n int) { kernel.Widen8(dst[to:to+n], src[at:at+n], z, signed) })
		return unsafe.Pointer(&dst[0])
	}
	if len(w.padded) != row || w.padded[0] != zero {
		w.padded = slices.Repeat([]byte{zero}, row)
	}
	out := f.new(tensor.Uint8, im.n*w.ph*row+64)
	dst := out.Bytes()
	w.eachRow(f, func(i, at, n int) {
		copy(dst[i:i+at], w.padded)
		copy(dst[i+at+n:i+row], w.padded)
	}, func(to, at, n int) { copy(dst[to:to+n], src[at:at+n]) })
	return unsafe.Pointer(&dst[0])
}

// eachRow visits the rows of the copy: pad is to fill the row from i on but for
// n elements from i+at on, then move is to bring n elements of the input.
func (w *windows) eachRow(f *frame, pad func(i, at, n int), move func(to, at, n int)) {
	im, row := &w.im, w.pw*w.im.c
	h, width := (im.h-1)/w.stuff[0]+1, (im.w-1)/w.stuff[1]+1
	f.do(im.n, func(_, n int) {
		for i := range w.ph {
			to, y := (n*w.ph+i)*row, i-im.top
			if y < 0 || y >= im.h || y%w.stuff[0] != 0 {
				pad(to, row, 0)
				continue
			}
			at := (n*h + y/w.stuff[0]) * width * im.c
			if w.stuff[1] == 1 {
				pad(to, im.left*im.c, im.w*im.c)
				move(to+im.left*im.c, at, im.w*im.c)
				continue
			}
			pad(to, row, 0)
			for x := range width {
				move(to+(im.left+x*w.stuff[1])*im.c, at+x*im.c, im.c)
			}
		}
	})
}

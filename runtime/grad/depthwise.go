package grad

import (
	"onnxopt/onnx/op"
	"onnxopt/runtime/kernel"
)

// planes is depthwise convolution of two-dimensional images, as stencils over
// the images of one channel behind each other.
//
// Images are stored with their pads, so far as taps read them: rows of width
// elements, images of pitch. Output o is computed where its first tap reads,
// and so are the outputs that strides leave out, which nobody uses and whose
// gradients are zero. So each tap reads at a fixed distance from every
// output, across rows and images:
//
//	y[i] = sum over k of w[k]*x[offset(k)+i]
//	gx[i] = sum over k of w[k]*gy[i-offset(k)]
type planes struct {
	batch, channels int
	in, out         axes // of a plane
	strides         axes
	at              int  // the element of the buffer of the first input
	inside          axes // the inputs that taps read: a block from the first on
	width, pitch    int
	length          int // of all images, whole blocks of a stencil
	offsets, back   []int
	free            chan *planeScratch
	pool            *pool
}

// axes is numbers of rows and of columns.
type axes struct{ rows, cols int }

func (a axes) count() int { return a.rows * a.cols }

// planeScratch is what one thread needs.
type planeScratch struct{ x, y, gy, sums []float32 }

// maxPlanes bounds the elements of one channel's buffers, and maxStride the
// outputs that are computed for nothing.
const (
	maxPlanes = 1 << 24
	maxStride = 3
)

// newPlanes is nil if the window is not of this kind.
func newPlanes(p *pool, w *op.Window, in, out, taps []int, batch, channels int) *planes {
	if len(in) != 2 || count(in) == 0 || count(out) == 0 || count(taps) == 0 || batch*channels == 0 ||
		max(w.Strides[0], w.Strides[1]) > maxStride || min(w.Before[0], w.Before[1]) < 0 {
		return nil
	}
	v := &planes{batch: batch, channels: channels, pool: p, in: axes{in[0], in[1]}, out: axes{out[0], out[1]}, strides: axes{w.Strides[0], w.Strides[1]}}
	rows := (out[0]-1)*w.Strides[0] + (taps[0]-1)*w.Dilations[0] + 1
	v.width = (out[1]-1)*w.Strides[1] + (taps[1]-1)*w.Dilations[1] + 1
	v.pitch = rows * v.width
	v.length = (batch*v.pitch + kernel.StencilBlock - 1) / kernel.StencilBlock * kernel.StencilBlock
	v.at = w.Before[0]*v.width + w.Before[1]
	v.inside = axes{min(in[0], rows-w.Before[0]), min(in[1], v.width-w.Before[1])}
	if v.length > maxPlanes || v.inside.rows <= 0 || v.inside.cols <= 0 {
		return nil
	}
	for ky := range taps[0] {
		for kx := range taps[1] {
			at := ky*w.Dilations[0]*v.width + kx*w.Dilations[1]
			v.offsets, v.back = append(v.offsets, at), append(v.back, v.pitch-at)
		}
	}
	for len(v.offsets)%kernel.StencilTaps != 0 {
		v.offsets = append(v.offsets, 0) // its sums are not used
	}
	v.free = make(chan *planeScratch, p.threads)
	for range p.threads {
		v.free <- nil
	}
	return v
}

// each runs f for all channels.
func (v *planes) each(f func(s *planeScratch, channel int)) {
	v.pool.split(v.channels, 1, v.length*len(v.offsets), func(lo, hi int) {
		s := <-v.free
		if s == nil {
			s = &planeScratch{x: make([]float32, v.length+v.pitch), y: make([]float32, v.length),
				gy: make([]float32, v.pitch+v.length), sums: make([]float32, 16*len(v.offsets))}
		}
		for c := lo; c < hi; c++ {
			f(s, c)
		}
		v.free <- s
	})
}

// plane is channel c of image n of x, whose planes are of so many elements.
func (v *planes) plane(x []float32, n, c, size int) []float32 {
	return x[(n*v.channels+c)*size:][:size]
}

// loadX copies a channel's images between the pads.
func (v *planes) loadX(s *planeScratch, x []float32, c int) {
	for n := range v.batch {
		kernel.CopyRows(s.x[n*v.pitch+v.at:], v.width, v.plane(x, n, c, v.in.count()), v.in.cols, v.inside.rows, v.inside.cols)
	}
}

// loadGY copies gradients to where outputs are computed, after a pitch of zeros.
func (v *planes) loadGY(s *planeScratch, gy []float32, c int) {
	step := v.strides.rows * v.width
	for n := range v.batch {
		dst, src := s.gy[v.pitch+n*v.pitch:], v.plane(gy, n, c, v.out.count())
		if v.strides.cols == 1 {
			kernel.CopyRows(dst, step, src, v.out.cols, v.out.rows, v.out.cols)
			continue
		}
		for r := range v.out.rows {
			row := dst[r*step:]
			for k, g := range src[r*v.out.cols:][:v.out.cols] {
				row[k*v.strides.cols] = g
			}
		}
	}
}

// storeY copies the outputs out.
func (v *planes) storeY(y []float32, s *planeScratch, c int) {
	step := v.strides.rows * v.width
	for n := range v.batch {
		dst, src := v.plane(y, n, c, v.out.count()), s.y[n*v.pitch:]
		if v.strides.cols == 1 {
			kernel.CopyRows(dst, v.out.cols, src, step, v.out.rows, v.out.cols)
			continue
		}
		for r := range v.out.rows {
			row := src[r*step:]
			for k := range v.out.cols {
				dst[r*v.out.cols+k] = row[k*v.strides.cols]
			}
		}
	}
}

// run computes y, which it replaces. w has the kernels of all channels.
func (v *planes) run(y, x, w []float32) {
	k := len(v.back)
	v.each(func(s *planeScratch, c int) {
		v.loadX(s, x, c)
		kernel.Stencil(s.y, s.x, v.offsets[:k], w[c*k:(c+1)*k])
		v.storeY(y, s, c)
	})
}

// weightGrad adds the derivative by the kernels to gw.
func (v *planes) weightGrad(gw, x, gy []float32) {
	k := len(v.back)
	v.each(func(s *planeScratch, c int) {
		v.loadX(s, x, c)
		v.loadGY(s, gy, c)
		clear(s.sums)
		kernel.StencilDots(s.sums, s.gy[v.pitch:], s.x, v.offsets)
		kernel.StencilSums(gw[c*k:(c+1)*k], s.sums)
	})
}

// dataGrad adds the derivative by the images to gx, or with write replaces it.
func (v *planes) dataGrad(gx, w, gy []float32, write bool) {
	k, place := len(v.back), kernel.AddRows
	if write && v.inside == v.in {
		place = kernel.CopyRows
	} else if write {
		clear(gx) // no output reads the rest
	}
	v.each(func(s *planeScratch, c int) {
		v.loadGY(s, gy, c)
		kernel.Stencil(s.y, s.gy, v.back, w[c*k:(c+1)*k])
		for n := range v.batch {
			place(v.plane(gx, n, c, v.in.count()), v.in.cols, s.y[n*v.pitch+v.at:], v.width, v.inside.rows, v.inside.cols)
		}
	})
}

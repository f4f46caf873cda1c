package grad

import (
	"onnxopt/onnx/op"
	"onnxopt/runtime/kernel"
)

// pixels is the convolution of two-dimensional images with their channels
// last, where the inputs of an output are rows of a matrix as they lie: pads
// are added and channels moved last, then back in the result. It takes no
// columns, which are as many times larger as the kernel has elements.
type pixels struct {
	batch, group  int
	c, m          int // channels of x and y in one group
	in, out       axes
	before        axes // the element of the buffer of the first input
	inside        axes // the inputs that taps read
	kernel        int
	width, padded int // of a row with its pads; elements of a padded plane, a multiple of 8
	ordered       []float32
	packed        [][]float32 // of each group: [kernel, c] rows, m columns
	gemm          kernel.Gemm
	free          chan *pixelScratch
	pool          *pool
}

// pixelScratch is what one thread needs.
type pixelScratch struct {
	planes, x, y, result []float32
	gemm                 kernel.Gemm
}

// newPixels is nil if the window is not of this kind.
func newPixels(p *pool, w *op.Window, in, out, taps []int, batch, group, c, m int) *pixels {
	if len(in) != 2 || count(in) == 0 || count(out) == 0 || count(taps) == 0 || batch*c*m == 0 || min(w.Before[0], w.Before[1]) < 0 {
		return nil
	}
	v := &pixels{batch: batch, group: group, c: c, m: m, pool: p, in: axes{in[0], in[1]}, out: axes{out[0], out[1]}, kernel: count(taps)}
	rows := (out[0]-1)*w.Strides[0] + (taps[0]-1)*w.Dilations[0] + 1
	v.width = (out[1]-1)*w.Strides[1] + (taps[1]-1)*w.Dilations[1] + 1
	v.padded = (rows*v.width + 7) &^ 7
	v.before = axes{w.Before[0], w.Before[1]}
	v.inside = axes{min(in[0], rows-w.Before[0]), min(in[1], v.width-w.Before[1])}
	if v.padded*c > maxPlanes || v.inside.rows <= 0 || v.inside.cols <= 0 {
		return nil
	}
	var first []int
	depth := c
	for ky := range taps[0] {
		if w.Dilations[1] == 1 { // a row of the kernel lies together
			first, depth = append(first, ky*w.Dilations[0]*v.width*c), c*taps[1]
			continue
		}
		for kx := range taps[1] {
			first = append(first, (ky*w.Dilations[0]*v.width+kx*w.Dilations[1])*c)
		}
	}
	v.gemm = kernel.Gemm{Groups: out[0], Rows: out[1], N: m, K: depth, GroupStride: w.Strides[0] * v.width * c, Lda: w.Strides[1] * c, Taps: first, Ldc: m}
	v.ordered, v.packed = make([]float32, c*m*v.kernel), make([][]float32, group)
	v.free = make(chan *pixelScratch, p.threads)
	for range p.threads {
		v.free <- nil
	}
	return v
}

// forData is the convolution that the derivative by the images is: of the
// gradients with the kernel turned round. It is nil for strides.
func (v *pixels) forData(p *pool, w *op.Window, in, out, taps []int) *pixels {
	if w.Strides[0] != 1 || w.Strides[1] != 1 {
		return nil
	}
	back := &op.Window{Strides: w.Strides, Dilations: w.Dilations}
	for i := range taps {
		back.Before = append(back.Before, (taps[i]-1)*w.Dilations[i]-w.Before[i])
	}
	return newPixels(p, back, out, in, taps, v.batch, v.group, v.m, v.c)
}

// pack takes weights [m, c, kernel] of each group.
func (v *pixels) pack(w []float32) {
	for g := range v.group {
		for m := range v.m {
			one := (g*v.m + m) * v.c * v.kernel
			kernel.TransposeF32(v.ordered[m*v.c*v.kernel:], v.c, w[one:], v.kernel, v.c, v.kernel)
		}
		v.packed[g] = kernel.PackB(v.packed[g], v.ordered, v.c*v.kernel, v.m, 1, v.c*v.kernel)
	}
}

// packBack takes the weights [c, m, kernel] of the convolution whose derivative
// this is, in each group.
func (v *pixels) packBack(w []float32) {
	for g := range v.group {
		for c := range v.c {
			for m := range v.m {
				from := w[((g*v.c+c)*v.m+m)*v.kernel:][:v.kernel]
				for k, x := range from {
					v.ordered[(m*v.kernel+v.kernel-1-k)*v.c+c] = x
				}
			}
		}
		v.packed[g] = kernel.PackB(v.packed[g], v.ordered, v.c*v.kernel, v.m, 1, v.c*v.kernel)
	}
}

// run computes y from x with the packed weights, or adds to it.
func (v *pixels) run(y, x []float32, add bool) {
	plane, result := v.in.count(), v.out.count()
	v.pool.split(v.batch*v.group, 1, result*v.c*v.kernel*v.m, func(lo, hi int) {
		s := <-v.free
		if s == nil {
			s = &pixelScratch{planes: make([]float32, v.c*v.padded), x: make([]float32, v.c*v.padded), y: make([]float32, v.m*result), gemm: v.gemm}
			s.result = make([]float32, v.m*result)
		}
		for i := lo; i < hi; i++ {
			v.image(s, y[i*v.m*result:][:v.m*result], x[i*v.c*plane:], i%v.group, add)
		}
		v.free <- s
	})
}

// image is run for one image and group.
func (v *pixels) image(s *pixelScratch, y, x []float32, group int, add bool) {
	at := v.before.rows*v.width + v.before.cols
	for c := range v.c {
		kernel.CopyRows(s.planes[c*v.padded+at:], v.width, x[c*v.in.count():], v.in.cols, v.inside.rows, v.inside.cols)
	}
	s.gemm.A, s.gemm.B, s.gemm.C = s.planes, v.packed[group], s.y
	if v.c > 1 {
		kernel.TransposeF32(s.x, v.c, s.planes, v.padded, v.c, v.padded)
		s.gemm.A = s.x
	}
	s.gemm.Run(0, s.gemm.Groups, 0, v.m)
	if !add {
		kernel.TransposeF32(y, v.out.count(), s.y, v.m, v.out.count(), v.m)
		return
	}
	kernel.TransposeF32(s.result, v.out.count(), s.y, v.m, v.out.count(), v.m)
	addTo(y, s.result)
}

package grad

import (
	"onnxopt/onnx/op"
	"onnxopt/runtime/kernel"
)

// planes is depthwise convolution of two-dimensional images, as stencils over
// the images of one channel behind each other.
//
// With strides s, output o and tap k read input o*s + d, d = k*dilation - pad.
// The inputs at o*s + (d mod s) for all o are a phase, in which tap k reads
// element o + floor(d/s). Phases are stored with zeros around, rows of width
// elements, images of pitch; outputs take the same rows and pitch. So
// each tap reads at a fixed distance from every output, across rows and images:
//
//	y[i] = sum over k of w[k]*x[offset(k)+i]
//
// The outputs in between are not used, and their gradients are zero.
type planes struct {
	batch, channels int
	in, out         int // elements of a plane
	outRows         int
	outCols         int
	width, pitch    int
	length          int // of all images' outputs, whole blocks of a stencil
	offsets         []int
	phases          []phase
	free            chan *planeScratch
	pool            *pool
}

// phase is the inputs that some taps read: rows x cols elements from element at
// of the buffer on are the inputs from element from on, steps apart.
type phase struct {
	taps             []int
	offsets          []int // of the taps inside the phase
	start, at        int
	from, rows, cols int
	rowStep, colStep int
}

// planeScratch is what one thread needs.
type planeScratch struct {
	x, y, gy, gx, w, sums []float32
	back                  []int
}

// axisTaps is one axis of a window: the phase and the element of it that each
// tap reads for output 0, counted from the first element that any tap reads.
type axisTaps struct {
	phase, at []int
	low, span int
}

func newAxisTaps(kernel, stride, dilation, pad int) axisTaps {
	a := axisTaps{phase: make([]int, kernel), at: make([]int, kernel)}
	high := 0
	for k := range kernel {
		d := k*dilation - pad
		a.phase[k] = (d%stride + stride) % stride
		a.at[k] = (d - a.phase[k]) / stride
		if k == 0 {
			a.low, high = a.at[0], a.at[0]
		}
		a.low, high = min(a.low, a.at[k]), max(high, a.at[k])
	}
	for k := range a.at {
		a.at[k] -= a.low
	}
	a.span = high - a.low
	return a
}

// inputs is the elements of a phase that are inputs: n from element first on,
// the first of which is input from.
func (a axisTaps) inputs(phase, stride, in, out int) (first, n, from int) {
	low := max(a.low, 0)
	high := min(out+a.span+a.low, (in-phase+stride-1)/stride)
	return low - a.low, max(high-low, 0), low*stride + phase
}

// maxPlanes bounds the elements of one channel's buffers.
const maxPlanes = 1 << 24

// newPlanes is nil if the window is not of this kind.
func newPlanes(p *pool, w *op.Window, in, out, kernelShape []int, batch, channels int) *planes {
	if len(in) != 2 || count(out) == 0 || count(kernelShape) == 0 || batch*channels == 0 {
		return nil
	}
	rows := newAxisTaps(kernelShape[0], w.Strides[0], w.Dilations[0], w.Before[0])
	cols := newAxisTaps(kernelShape[1], w.Strides[1], w.Dilations[1], w.Before[1])
	v := &planes{batch: batch, channels: channels, in: count(in), out: count(out), outRows: out[0], outCols: out[1], pool: p}
	v.width = out[1] + cols.span
	v.pitch = (out[0] + rows.span) * v.width
	v.length = (batch*v.pitch + kernel.StencilBlock - 1) / kernel.StencilBlock * kernel.StencilBlock
	if v.length*w.Strides[0]*w.Strides[1] > maxPlanes {
		return nil
	}
	index := map[[2]int]int{}
	for ky := range kernelShape[0] {
		for kx := range kernelShape[1] {
			key := [2]int{rows.phase[ky], cols.phase[kx]}
			i, ok := index[key]
			if !ok {
				i = len(v.phases)
				index[key] = i
				ph := phase{start: i * v.length, rowStep: w.Strides[0] * in[1], colStep: w.Strides[1]}
				var r0, c0, y, x int
				r0, ph.rows, y = rows.inputs(key[0], w.Strides[0], in[0], out[0])
				c0, ph.cols, x = cols.inputs(key[1], w.Strides[1], in[1], out[1])
				ph.at, ph.from = r0*v.width+c0, y*in[1]+x
				v.phases = append(v.phases, ph)
			}
			ph, at := &v.phases[i], rows.at[ky]*v.width+cols.at[kx]
			ph.taps, ph.offsets = append(ph.taps, ky*kernelShape[1]+kx), append(ph.offsets, at)
			v.offsets = append(v.offsets, ph.start+at)
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
			s = &planeScratch{x: make([]float32, len(v.phases)*v.length+v.pitch), y: make([]float32, v.length),
				gy: make([]float32, v.pitch+v.length), gx: make([]float32, v.length),
				w: make([]float32, len(v.offsets)), sums: make([]float32, 16*len(v.offsets)), back: make([]int, len(v.offsets))}
		}
		for c := lo; c < hi; c++ {
			f(s, c)
		}
		v.free <- s
	})
}

// image is channel c of image n in planes of so many elements.
func (v *planes) image(x []float32, n, c, size int) []float32 {
	return x[(n*v.channels+c)*size:][:size]
}

// loadX fills the phases with a channel's images.
func (v *planes) loadX(s *planeScratch, x []float32, c int) {
	for n := range v.batch {
		plane := v.image(x, n, c, v.in)
		for i := range v.phases {
			ph := &v.phases[i]
			if ph.rows == 0 || ph.cols == 0 {
				continue
			}
			dst := s.x[ph.start+n*v.pitch+ph.at:]
			if ph.colStep == 1 {
				kernel.CopyRows(dst, v.width, plane[ph.from:], ph.rowStep, ph.rows, ph.cols)
				continue
			}
			for r := range ph.rows {
				row, src := dst[r*v.width:][:ph.cols], plane[ph.from+r*ph.rowStep:]
				for k := range row {
					row[k] = src[k*ph.colStep]
				}
			}
		}
	}
}

// loadGY fills gy, which begins after a pitch of zeros.
func (v *planes) loadGY(s *planeScratch, gy []float32, c int) {
	for n := range v.batch {
		kernel.CopyRows(s.gy[v.pitch+n*v.pitch:], v.width, v.image(gy, n, c, v.out), v.outCols, v.outRows, v.outCols)
	}
}

// run computes y, which it replaces. w has the kernels of all channels.
func (v *planes) run(y, x, w []float32) {
	k := len(w) / v.channels
	v.each(func(s *planeScratch, c int) {
		v.loadX(s, x, c)
		kernel.Stencil(s.y, s.x, v.offsets[:k], w[c*k:(c+1)*k])
		for n := range v.batch {
			kernel.CopyRows(v.image(y, n, c, v.out), v.outCols, s.y[n*v.pitch:], v.width, v.outRows, v.outCols)
		}
	})
}

// weightGrad adds the derivative by the kernels to gw.
func (v *planes) weightGrad(gw, x, gy []float32) {
	k := len(gw) / v.channels
	v.each(func(s *planeScratch, c int) {
		v.loadX(s, x, c)
		v.loadGY(s, gy, c)
		clear(s.sums)
		kernel.StencilDots(s.sums, s.gy[v.pitch:], s.x, v.offsets)
		kernel.StencilSums(gw[c*k:(c+1)*k], s.sums)
	})
}

// dataGrad adds the derivative by the images to gx: in each phase, the sum over
// its taps of w[k]*gy[i-offset(k)].
func (v *planes) dataGrad(gx, w, gy []float32) {
	k := len(w) / v.channels
	v.each(func(s *planeScratch, c int) {
		v.loadGY(s, gy, c)
		for i := range v.phases {
			ph := &v.phases[i]
			back, kernelW := s.back[:len(ph.taps)], s.w[:len(ph.taps)]
			for j, t := range ph.taps {
				back[j], kernelW[j] = v.pitch-ph.offsets[j], w[c*k+t]
			}
			kernel.Stencil(s.gx, s.gy, back, kernelW)
			v.addPhase(gx, s.gx, ph, c)
		}
	})
}

// addPhase adds one phase of a channel's images to gx.
func (v *planes) addPhase(gx, src []float32, ph *phase, c int) {
	if ph.rows == 0 || ph.cols == 0 {
		return
	}
	for n := range v.batch {
		plane := v.image(gx, n, c, v.in)
		from := src[n*v.pitch+ph.at:]
		if ph.colStep == 1 {
			kernel.AddRows(plane[ph.from:], ph.rowStep, from, v.width, ph.rows, ph.cols)
			continue
		}
		for r := range ph.rows {
			dst := plane[ph.from+r*ph.rowStep:]
			for k, g := range from[r*v.width:][:ph.cols] {
				dst[k*ph.colStep] += g
			}
		}
	}
}

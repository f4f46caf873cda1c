package runtime

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

var negInf = float32(math.Inf(-1))

// pool is a float32 MaxPool or AveragePool, channels last.
type pool struct {
	attrs   *op.Attrs
	rank    int
	maximum bool
	all     bool // the window counts padding
	in      []int
	im      image
	stride  int // of a padded row
	strip   int
	window  kernel.Window
	counts  []float32 // 1/taps of each output pixel, if they differ
}

func matchPool(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("MaxPool", "AveragePool") || len(n.Outputs()) > 1 {
		return nil
	}
	attrs, ok := l.attrs(n)
	rank := l.float32Rank(n.In(0))
	if !ok || rank != 4 && rank != 3 || len(attrs.Ints("kernel_shape")) != rank-2 {
		return nil
	}
	p := &pool{attrs: attrs, rank: rank, maximum: n.Is("MaxPool"), all: attrs.Int("count_include_pad") != 0}
	return &lowered{in: n.Inputs(), out: n.Outputs(), inLast: []int{rank}, outLast: rank, run: p.run}
}

func (p *pool) shape(x []int) bool {
	if slices.Equal(x, p.in) {
		return true
	}
	plain := append([]int{x[0], x[len(x)-1]}, x[1:len(x)-1]...)
	win, out, err := op.NewPoolGeometry(p.attrs, plain)
	if err != nil {
		return false
	}
	pick := func(v []int, one int) (int, int) {
		if len(v) == 1 {
			return one, v[0]
		}
		return v[0], v[1]
	}
	im := image{n: plain[0], c: plain[1], m: plain[1], group: plain[1]}
	im.h, im.w = pick(plain[2:], 1)
	im.oh, im.ow = pick(out, 1)
	im.kh, im.kw = pick(p.attrs.Ints("kernel_shape"), 1)
	im.sh, im.sw = pick(win.Strides, 1)
	im.dh, im.dw = pick(win.Dilations, 1)
	im.top, im.left = pick(win.Before, 0)
	bottom, right := pick(win.After, 0)
	width := max((im.ow-1)*im.sw+(im.kw-1)*im.dw+1, im.w+im.left)
	p.stride = width * im.c
	p.strip = max(min(stripBytes/4/max(p.stride*im.sh, 1), im.oh), 1)
	w := kernel.Window{Channels: im.c, Stride: im.sw * im.c, YStride: im.c}
	for ky := range im.kh {
		for kx := range im.kw {
			w.Taps = append(w.Taps, ky*im.dh*p.stride+kx*im.dw*im.c)
		}
	}
	if !p.maximum {
		w.W = make([]float32, im.c)
		fillFloats(w.W, 1/float32(im.kh*im.kw))
		p.count(&im, bottom, right)
	}
	w.Prepare()
	p.window, p.im, p.in = w, im, slices.Clone(x)
	return true
}

// count sets, for each output pixel, by how much the average over the whole
// window must be multiplied.
func (p *pool) count(im *image, bottom, right int) {
	p.counts = nil
	inside := func(o, stride, dilation, kernel, pad, size, after int) int {
		n := 0
		for k := range kernel {
			at := o*stride - pad + k*dilation
			if at >= 0 && at < size || p.all && at >= -pad && at < size+after {
				n++
			}
		}
		return n
	}
	counts, differ := make([]float32, im.oh*im.ow), false
	for i := range counts {
		n := inside(i/im.ow, im.sh, im.dh, im.kh, im.top, im.h, bottom) * inside(i%im.ow, im.sw, im.dw, im.kw, im.left, im.w, right)
		counts[i] = float32(im.kh*im.kw) / float32(n)
		differ = differ || n != im.kh*im.kw
	}
	if differ {
		p.counts = counts
	}
}

func (p *pool) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, ok := in[0].(*tensor.Tensor)
	if !ok || x.Type != tensor.Float32 || x.Rank() != p.rank || !p.shape(x.Shape) {
		return nil, errFallback
	}
	im := &p.im
	shape := []int{im.n, im.oh, im.ow, im.c}
	if p.rank == 3 {
		shape = []int{im.n, im.ow, im.c}
	}
	out, y := f.floats(shape...)
	if len(y) == 0 {
		return f.one(out)
	}
	fill := float32(0)
	if p.maximum {
		fill = negInf
	}
	src, plane, row := x.Float32s(), im.h*im.w*im.c, im.ow*im.c
	strips := (im.oh + p.strip - 1) / p.strip
	f.s.workers.run(im.n*strips, func(worker, part int) {
		n, oy := part/strips, part%strips*p.strip
		end := min(oy+p.strip, im.oh)
		rows := (end-oy-1)*im.sh + (im.kh-1)*im.dh + 1
		buf := f.s.workers.buffer(worker, rows*p.stride)
		im.pad(buf, src[n*plane:(n+1)*plane], oy*im.sh-im.top, rows, p.stride, fill)
		for o := oy; o < end; o++ {
			at := (n*im.oh + o) * row
			p.window.Run(y[at:at+row], buf[(o-oy)*im.sh*p.stride:], im.ow)
			if p.counts != nil {
				for i, k := range p.counts[o*im.ow : (o+1)*im.ow] {
					if k != 1 {
						px := y[at+i*im.c : at+(i+1)*im.c]
						kernel.Function{Kind: kernel.Line, A: k, Lo: negInf, Hi: -negInf}.Apply(px, px)
					}
				}
			}
		}
	})
	return f.one(out)
}

// matchGlobalPool covers the mean over all spatial axes: GlobalAveragePool,
// or ReduceMean over axes 2 and up.
func matchGlobalPool(l *lowerer, n *graph.Node) *lowered {
	rank := l.float32Rank(n.In(0))
	if !n.Is("GlobalAveragePool", "ReduceMean") || rank < 3 || rank > 5 {
		return nil
	}
	keep := true
	if n.Is("ReduceMean") {
		attrs, ok := l.attrs(n)
		axes, ok2 := l.axes(n, attrs, rank)
		if !ok || !ok2 || len(axes) != rank-2 || axes[0] != 2 {
			return nil
		}
		keep = attrs.Int("keepdims") != 0
	}
	f := &lowered{in: n.Inputs()[:1], out: n.Outputs(), nodes: []*graph.Node{n}}
	f.place = func(b *builder) {
		if _, ok := b.isLast(f.in[0]); ok {
			f.inLast = []int{rank}
			if keep {
				f.outLast = rank
			}
		}
	}
	f.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		if !ok || x.Type != tensor.Float32 || x.Rank() != rank || x.Len() == 0 {
			return nil, errFallback
		}
		last := f.inLast != nil
		c, pixels := x.Shape[1], volume(x.Shape[2:])
		if last {
			c, pixels = x.Shape[rank-1], volume(x.Shape[1:rank-1])
		}
		shape := []int{x.Shape[0], c}
		for range rank - 2 {
			if keep && last {
				shape = slices.Insert(shape, 1, 1)
			} else if keep {
				shape = append(shape, 1)
			}
		}
		out, y := fr.floats(shape...)
		v := x.Float32s()
		for i := range x.Shape[0] {
			if last {
				meanRows(y[i*c:(i+1)*c], v[i*c*pixels:(i+1)*c*pixels])
				continue
			}
			for j := i * c; j < (i+1)*c; j++ {
				y[j] = kernel.Sum(v[j*pixels:(j+1)*pixels]) / float32(pixels)
			}
		}
		return fr.one(out)
	}
	return f
}

// meanRows is the mean of the rows of x, each as long as y.
func meanRows(y, x []float32) {
	c := len(y)
	copy(y, x[:c])
	rows := len(x) / c
	for r := 1; r < rows; r++ {
		kernel.Add.Apply(y, y, x[r*c:(r+1)*c])
	}
	kernel.Function{Kind: kernel.Line, A: 1 / float32(rows), Lo: negInf, Hi: -negInf}.Apply(y, y)
}

// axes is the sorted axes of a reduction, from its attribute or a constant.
func (l *lowerer) axes(n *graph.Node, attrs *op.Attrs, rank int) ([]int, bool) {
	axes := attrs.Ints("axes")
	if len(n.Inputs()) > 1 && n.In(1) != nil {
		c := l.constant(n.In(1))
		if c == nil || !c.Type.IsInt() {
			return nil, false
		}
		axes = nil
		for _, a := range c.Ints() {
			axes = append(axes, int(a))
		}
	}
	if len(axes) == 0 {
		return nil, false
	}
	axes = slices.Clone(axes)
	for i := range axes {
		a, ok := op.Axis(axes[i], rank)
		if !ok {
			return nil, false
		}
		axes[i] = a
	}
	slices.Sort(axes)
	return slices.Compact(axes), true
}

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
	windows *sliding
	weights []float32 // of the average: 1/taps for each number of taps
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
	p.windows = im.sliding()
	if !p.maximum {
		p.average(&im, bottom, right)
	}
	p.im, p.in = im, slices.Clone(x)
	return true
}

// average gives each window the weights 1/taps.
func (p *pool) average(im *image, bottom, right int) {
	p.weights = p.weights[:0]
	// padded counts the taps of output o that padding does not go beyond.
	padded := func(o, stride, dilation, kernel, pad, size, after int) int {
		n := 0
		for k := range kernel {
			if at := o*stride - pad + k*dilation; at < size+after {
				n++
			}
		}
		return n
	}
	for i := range p.windows.rows {
		for j := range p.windows.cols {
			r, c := &p.windows.rows[i], &p.windows.cols[j]
			n := len(p.windows.at[i][j].Taps)
			if p.all {
				n = padded(r.first, im.sh, im.dh, im.kh, im.top, im.h, bottom) * padded(c.first, im.sw, im.dw, im.kw, im.left, im.w, right)
			}
			w := &p.windows.at[i][j]
			for t := range w.Taps {
				w.Taps[t].W = len(p.weights)
			}
			w.Prepare()
			for range im.c {
				p.weights = append(p.weights, 1/float32(n))
			}
		}
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
	im.slide(f, p.windows, func(w *kernel.Window) { w.W = p.weights }, x.Float32s(), y, func(int) {})
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
		if last {
			fr.sumRows(y, v, x.Shape[0], pixels, c, true)
			return fr.one(out)
		}
		fr.rows(len(y), len(v), func(from, to int) {
			for j := from; j < to; j++ {
				y[j] = kernel.Sum(v[j*pixels:(j+1)*pixels]) / float32(pixels)
			}
		})
		return fr.one(out)
	}
	return f
}

// sumRows is the sum or the mean along the middle axis of x, [outer, rows, c].
// Threads share the columns where outer is too small for them.
func (f *frame) sumRows(y, x []float32, outer, rows, c int, mean bool) {
	width, across := c, 1
	if threads := f.s.workers.threads; outer < threads && len(x) > chunk {
		width = (c/threads + kernel.Lanes) &^ (kernel.Lanes - 1)
		across = (c + width - 1) / width
	}
	f.rows(outer*across, len(x), func(from, to int) {
		for i := from; i < to; i++ {
			o, first := i/across, i%across*width
			end := min(first+width, c)
			sums, src := y[o*c+first:o*c+end], x[o*rows*c+first:(o+1)*rows*c]
			copy(sums, src)
			kernel.SumRows(sums, src[min(c, len(src)):], c, rows-1)
			if mean {
				kernel.Function{Kind: kernel.Line, A: 1 / float32(rows), Lo: negInf, Hi: -negInf}.Apply(sums, sums)
			}
		}
	})
}

// axes is the sorted axes of a reduction, from its attribute or a constant.
func (l *lowerer) axes(n *graph.Node, attrs *op.Attrs, rank int) ([]int, bool) {
	var axes []int
	if attrs.Schema.Attr("axes") != nil {
		axes = attrs.Ints("axes")
	}
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

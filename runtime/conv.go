package runtime

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// conv is a one- or two-dimensional float32 convolution with what follows it:
// per-channel scaling, bias, a residual and an activation. It works channels
// last, where a row of the kernel is consecutive in the input, so that a
// convolution is a matrix product whose rows overlap (kernel.Gemm).
type conv struct {
	chain    *chain
	attrs    *op.Attrs
	rank     int
	bias     bool // input 2
	residual int  // its input, 0 if none
	workers  *workers

	fixed  [2]*tensor.Tensor // weights and bias, if they are constant
	ready  bool              // the fixed ones are packed, as winograd says
	packed []float32         // for each group: panels; or, depthwise, [taps][C]
	shift  []float32         // the bias with what is folded into it

	in, weight []int // the shapes that the following hold for
	im         image
	taps       []int
	rowStride  int // of a padded input row, in elements
	padded     bool
	strip      int           // output rows whose padded input is made at a time
	rows       []windowClass // depthwise, by rows
	windows    *sliding      // depthwise, otherwise
	winograd   *winograd     // where that is faster
}

func matchConv(l *lowerer, n *graph.Node) *lowered {
	ch := l.chain(n, func(n *graph.Node) bool { return n.Is("Conv") })
	if ch == nil || l.inIntegers(ch.root) {
		return nil
	}
	root := ch.root
	attrs, ok := l.attrs(root)
	rank := l.float32Rank(root.In(0))
	if !ok || rank != 3 && rank != 4 || l.float32Rank(root.In(1)) != rank || root.In(2) != nil && l.float32Rank(root.In(2)) != 1 {
		return nil
	}
	c := &conv{chain: ch, attrs: attrs, rank: rank, bias: root.In(2) != nil, workers: l.s.workers}
	f := &lowered{in: []*graph.Value{root.In(0), root.In(1)}, out: n.Outputs(), nodes: ch.nodes, inLast: []int{rank, 0}, outLast: rank, run: c.run}
	if c.bias {
		f.in, f.inLast = append(f.in, root.In(2)), append(f.inLast, 0)
	}
	if ch.residual != nil {
		if l.float32Rank(ch.residual) != rank {
			return nil
		}
		c.residual = len(f.in)
		f.in, f.inLast = append(f.in, ch.residual), append(f.inLast, rank)
	}
	if w, b := l.fixed(root.In(1)), l.fixed(root.In(2)); w != nil && (b != nil || !c.bias) {
		c.fixed = [2]*tensor.Tensor{w, b}
		f.prepare = func() error {
			// Where the choice depends on the size of the image, the first run packs.
			if attrs.Int("group") >= 1 && w.Rank() == rank && w.Shape[0]%attrs.Int("group") == 0 && !slices.Equal(w.Shape[2:], []int{3, 3}) {
				c.pack(w, b)
				c.ready = true
			}
			return nil
		}
	}
	return f
}

// depthwise reports one channel for each group, in and out.
func (c *conv) depthwise(w *tensor.Tensor) bool {
	return w.Shape[1] == 1 && c.attrs.Int("group") == w.Shape[0]
}

// pack lays out the weights [M, C/group, kernel...] times the folded scale.
func (c *conv) pack(w, bias *tensor.Tensor) {
	m, cg, taps, group := w.Shape[0], w.Shape[1], volume(w.Shape[2:]), c.attrs.Int("group")
	scale, shift := c.chain.fold(m, bias)
	v := w.Float32s()
	if scale != nil {
		v = slices.Clone(v)
		per := len(v) / max(m, 1)
		for i := range v {
			v[i] *= scale[i/per]
		}
	}
	c.ready, c.shift = false, shift
	if c.depthwise(w) {
		c.packed = make([]float32, len(v))
		kernel.TransposeFloats(c.packed, v, m, taps)
		return
	}
	if c.winograd != nil {
		c.packed = kernel.PackWinograd(v, m, cg, c.workers.buffer(0, kernel.WinogradProducts*m*cg))
		return
	}
	mg := m / group
	size := kernel.Panels(mg) * cg * taps * kernel.Lanes
	c.packed = alignedFloats(group * size)
	rows := c.workers.buffer(0, mg*cg*taps) // [taps][cg] of each output channel
	for g := range group {
		for o := range mg {
			at := (g*mg + o) * cg * taps
			kernel.TransposeFloats(rows[o*cg*taps:(o+1)*cg*taps], v[at:at+cg*taps], cg, taps)
		}
		kernel.PackB(c.packed[g*size:(g+1)*size], rows, cg*taps, mg, 1, cg*taps)
	}
}

// shape sets the geometry; false if the reference must report what is wrong.
func (c *conv) shape(x, w []int) bool {
	if slices.Equal(x, c.in) && slices.Equal(w, c.weight) {
		return true
	}
	first := x[len(x)-1]
	im, ok := newImage(c.attrs, append([]int{x[0], first}, x[1:len(x)-1]...), w)
	if !ok || im.oh == 0 || im.ow == 0 {
		return false
	}
	c.im, c.in, c.weight = im, slices.Clone(x), slices.Clone(w)
	width := (im.ow-1)*im.sw + (im.kw-1)*im.dw + 1
	height := (im.oh-1)*im.sh + (im.kh-1)*im.dh + 1
	c.padded = im.top > 0 || im.left > 0 || width > im.w || height > im.h
	if !c.padded {
		width = im.w
	}
	c.rowStride = width * im.c
	c.strip = im.oh
	if c.padded {
		c.strip = min(max(stripBytes/4/(c.rowStride*im.sh), 1), im.oh)
	}
	c.taps = c.taps[:0]
	dw := im.group == im.c && im.m == im.c
	for ky := range im.kh {
		for kx := range im.kw {
			if kx == 0 || dw || im.group > 1 || im.dw > 1 {
				c.taps = append(c.taps, ky*im.dh*c.rowStride+kx*im.dw*im.c)
			}
		}
	}
	c.rows, c.windows = nil, nil
	if dw && im.dw == 1 && kernel.FastDepthwise(im.kw, im.sw) {
		c.rows = windowClasses(im.oh, im.sh, im.dh, im.kh, im.top, im.h)
	} else if dw {
		c.windows = im.sliding()
	}
	if w := newWinograd(&im); (w != nil) != (c.winograd != nil) {
		c.winograd, c.ready = w, false
	} else {
		c.winograd = w
	}
	return true
}

// stripBytes is what the padded input of a strip of output rows may take.
const stripBytes = 256 << 10

func (c *conv) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	t, ok := float32In(in)
	if !ok || t[0].Rank() != c.rank || t[1].Rank() != c.rank || !c.shape(t[0].Shape, t[1].Shape) {
		return nil, errFallback
	}
	im := &c.im
	var bias *tensor.Tensor
	if c.bias {
		if bias = t[2]; bias.Len() != im.m {
			return nil, errFallback
		}
	}
	fixed := c.fixed[0] == t[1] && c.fixed[1] == bias
	if !c.ready || !fixed {
		if !fixed {
			c.winograd = nil
			f.varies()
		}
		c.pack(t[1], bias)
		if c.ready = fixed; fixed {
			f.s.releaseWeights(c.chain.nodes)
		}
	}
	shape := []int{im.n, im.oh, im.ow, im.m}
	if c.rank == 3 {
		shape = []int{im.n, im.ow, im.m}
	}
	var residual []float32
	if c.residual > 0 {
		if !slices.Equal(t[c.residual].Shape, shape) {
			return nil, errFallback
		}
		residual = t[c.residual].Float32s()
	}
	var out *tensor.Tensor
	if residual != nil && !c.depthwise(t[1]) {
		out = f.like(t[c.residual], c.residual) // a tile reads the residual before it writes there
	} else {
		out = f.new(tensor.Float32, shape...)
	}
	x, y := t[0].Float32s(), tensor.View[float32](out)
	work := 2 * int64(len(y)) * int64(t[1].Len()/im.m)
	defer func() { f.work = work }()
	switch {
	case len(y) == 0:
	case c.winograd != nil:
		c.runWinograd(f, x, y, residual)
	case c.depthwise(t[1]):
		c.runDepthwise(f, x, y, residual)
	case !c.padded && im.group == 1 && im.kh*im.kw == 1 && im.sh == 1 && im.sw == 1:
		g := c.gemm(x, y, residual)
		g.Groups, g.Rows, g.Lda, g.GroupStride = 1, im.n*im.oh*im.ow, im.c, 0
		f.gemm(&g)
	case !c.padded && im.group == 1 && im.n == 1:
		g := c.gemm(x, y, residual)
		g.Groups = im.oh
		f.gemm(&g)
	default:
		c.runStrips(f, x, y, residual)
	}
	return f.one(out)
}

// gemm is the product for one group and any rows of output.
func (c *conv) gemm(x, y, residual []float32) kernel.Gemm {
	im := &c.im
	g := kernel.Gemm{Rows: im.ow, N: im.m / im.group, K: im.c / im.group, A: x, GroupStride: im.sh * c.rowStride, Lda: im.sw * im.c,
		Taps: c.taps, B: c.packed, C: y, Ldc: im.m, Bias: c.shift, Residual: residual, Ldr: im.m}
	if len(c.taps) == im.kh {
		g.K *= im.kw
	}
	g.Clamp, g.Lo, g.Hi, g.Act = c.chain.clamp()
	return g
}

// parts splits the images into strips of rows of output: as few as their
// padded input asks for, but enough for the threads.
func (c *conv) parts(f *frame) (rows, strips int) {
	rows = c.strip
	for rows > 2 && c.im.n*((c.im.oh+rows-1)/rows) < 3*f.s.workers.threads && f.s.workers.threads > 1 {
		rows = (rows + 1) / 2
	}
	return rows, (c.im.oh + rows - 1) / rows
}

func (c *conv) runStrips(f *frame, x, y, residual []float32) {
	im := &c.im
	rows, strips := c.parts(f)
	proto := c.gemm(nil, nil, nil)
	size := len(c.packed) / im.group
	f.do(im.n*strips, func(worker, part int) {
		n, oy := part/strips, part%strips*rows
		end := min(oy+rows, im.oh)
		src := c.input(f, worker, x, n, oy, end)
		at := (n*im.oh + oy) * im.ow * im.m
		for gr := range im.group {
			g := proto
			g.Groups = end - oy
			g.A, g.B, g.C = src[gr*im.c/im.group:], c.packed[gr*size:(gr+1)*size], y[at+gr*g.N:]
			if c.shift != nil {
				g.Bias = c.shift[gr*g.N : (gr+1)*g.N]
			}
			if residual != nil {
				g.Residual = residual[at+gr*g.N:]
			}
			g.Run(0, g.Groups, 0, g.N)
		}
	})
}

func (c *conv) runDepthwise(f *frame, x, y, residual []float32) {
	im := &c.im
	clamp, lo, hi, act := c.chain.clamp()
	row := im.ow * im.c
	after := func(o int) {
		out := y[o*row : (o+1)*row]
		if residual != nil {
			kernel.Add.Apply(out, out, residual[o*row:])
		}
		act.Apply(out, out)
	}
	if c.rows == nil {
		if residual != nil && clamp {
			clamp, act = false, kernel.Clip(lo, hi)
		}
		set := func(w *kernel.Window) {
			w.W, w.Bias, w.Clamp, w.Lo, w.Hi = c.packed, c.shift, clamp, lo, hi
		}
		im.slide(f, c.windows, set, x, y, after)
		return
	}
	if clamp {
		act = kernel.Clip(lo, hi)
	}
	d := kernel.Depthwise{Channels: im.c, Wide: im.kw, Stride: im.sw, Width: im.w, Left: im.left, W: c.packed, Bias: c.shift}
	if residual == nil {
		d.Act, act = act, kernel.Function{}
	}
	im.eachRow(f, c.rows, func(o int, class windowClass) {
		d.Row(y[o*row:(o+1)*row], x[im.firstRow(o, class):], im.dh*im.w*im.c, class.low, class.high, im.ow)
		if residual != nil {
			after(o)
		}
	})
}

// input is the input rows that output rows [oy, end) of image n read, from
// the first tap on, with zeros around.
func (c *conv) input(f *frame, worker int, x []float32, n, oy, end int) []float32 {
	im := &c.im
	plane := im.h * im.w * im.c
	if !c.padded {
		return x[n*plane+oy*im.sh*c.rowStride : (n+1)*plane]
	}
	rows := (end-oy-1)*im.sh + (im.kh-1)*im.dh + 1
	buf := f.s.workers.buffer(worker, rows*c.rowStride)
	im.pad(buf, x[n*plane:(n+1)*plane], oy*im.sh-im.top, rows, c.rowStride, 0)
	return buf
}

// pad copies rows [from, from+rows) of an image, channels last, with fill
// where they lie outside it.
func (im *image) pad(dst, src []float32, from, rows, rowStride int, fill float32) {
	left := im.left * im.c
	length := min(im.w*im.c, rowStride-left)
	for r := range rows {
		d := dst[r*rowStride : (r+1)*rowStride]
		if iy := from + r; iy < 0 || iy >= im.h || length < 0 {
			fillFloats(d, fill)
		} else {
			fillFloats(d[:left], fill)
			copy(d[left:left+length], src[iy*im.w*im.c:])
			fillFloats(d[left+length:], fill)
		}
	}
}

func fillFloats(s []float32, v float32) {
	if v == 0 {
		clear(s)
		return
	}
	for i := range s {
		s[i] = v
	}
}

// gemm runs g on the session's threads: by rows if there are enough for each,
// else by columns.
func (f *frame) gemm(g *kernel.Gemm) {
	threads, proto := f.s.workers.threads, *g
	parts := 4 * threads
	f.work += 2 * int64(g.Groups*g.Rows) * int64(g.N*g.K*max(len(g.Taps), 1))
	switch {
	case threads == 1 || g.Groups*g.Rows*g.N*g.K*max(len(g.Taps), 1) < 1<<16:
		f.do(1, func(_, _ int) { proto.Run(0, proto.Groups, 0, proto.N) })
	case g.Groups == 1 && g.Rows >= parts*14 && 2*g.Rows >= g.N: // else each part would read all of a large B
		step := ((g.Rows+parts-1)/parts + 13) / 14 * 14
		f.do((g.Rows+step-1)/step, func(_, i int) {
			h := proto
			h.RunRows(0, 1, i*step, min((i+1)*step, h.Rows), 0, h.N)
		})
	case g.Groups >= parts:
		f.do(parts, func(_, i int) {
			h := proto
			h.Run(h.Groups*i/parts, h.Groups*(i+1)/parts, 0, h.N)
		})
	default:
		step := max((g.N/parts)&^31, 64)
		f.do((g.N+step-1)/step, func(_, i int) {
			h := proto
			h.Run(0, h.Groups, i*step, min((i+1)*step, h.N))
		})
	}
}

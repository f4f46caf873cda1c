package grad

import (
	"onnxopt/onnx/op"
	"onnxopt/runtime/kernel"
)

// taps is which input element each kernel position reads for each output
// element, as runs along the output and blocks of such runs.
type taps struct {
	kernel, in, out int // elements of the kernel and of one plane
	runs            [][]tapRun
	blocks          [][]tapBlock
	full            []bool // no output element of the position is outside
}

// tapRun: output elements from+ i read input elements in + i*stride, i < n.
type tapRun struct{ out, in, n, stride int }

// tapBlock is rows of runs of one length, whose outputs begin outStep apart and
// whose inputs inStep.
type tapBlock struct {
	tapRun
	rows, outStep, inStep int
}

// newTaps lists the taps of a window. in and out are the sizes of the planes
// that it reads and writes.
func newTaps(w *op.Window, in, out, kernel []int) *taps {
	t := &taps{kernel: count(kernel), in: count(in), out: count(out)}
	t.runs, t.blocks, t.full = make([][]tapRun, t.kernel), make([][]tapBlock, t.kernel), make([]bool, t.kernel)
	w.EachTap(in, out, kernel, func(o, k, i int) {
		runs := t.runs[k]
		if len(runs) > 0 {
			last := &runs[len(runs)-1]
			if last.n == 1 && last.out+1 == o && i > last.in {
				last.stride, last.n = i-last.in, 2
				return
			}
			if last.n > 1 && last.out+last.n == o && last.in+last.n*last.stride == i {
				last.n++
				return
			}
		}
		t.runs[k] = append(runs, tapRun{o, i, 1, 1})
	})
	for k, runs := range t.runs {
		covered := 0
		for _, r := range runs {
			t.blocks[k] = joined(t.blocks[k], r)
			covered += r.n
		}
		t.full[k] = covered == t.out
	}
	return t
}

// joined adds a run to the last block if it goes on like that.
func joined(blocks []tapBlock, r tapRun) []tapBlock {
	if len(blocks) > 0 {
		b := &blocks[len(blocks)-1]
		switch out, in := r.out-b.out, r.in-b.in; {
		case r.n != b.n || r.stride != b.stride:
		case b.rows == 1 && in > 0:
			b.rows, b.outStep, b.inStep = 2, out, in
			return blocks
		case b.rows > 1 && out == b.rows*b.outStep && in == b.rows*b.inStep:
			b.rows++
			return blocks
		}
	}
	return append(blocks, tapBlock{tapRun: r, rows: 1})
}

// columns writes the patches of one plane: row k has, for every output
// element, the input element under kernel position k. Elements outside are
// left as they are: dst has zeros there.
func (t *taps) columns(dst, plane []float32) {
	for k, blocks := range t.blocks {
		row := dst[k*t.out : (k+1)*t.out]
		for _, b := range blocks {
			if b.stride == 1 {
				kernel.CopyRows(row[b.out:], b.outStep, plane[b.in:], b.inStep, b.rows, b.n)
				continue
			}
			b.eachRow(row, plane, func(dst, src []float32) {
				for i := range dst {
					dst[i] = src[i*b.stride]
				}
			})
		}
	}
}

// scatter is the transpose of columns: it adds rows to the plane.
func (t *taps) scatter(plane, rows []float32) {
	for k, blocks := range t.blocks {
		row := rows[k*t.out : (k+1)*t.out]
		for _, b := range blocks {
			if b.stride == 1 {
				kernel.AddRows(plane[b.in:], b.inStep, row[b.out:], b.outStep, b.rows, b.n)
				continue
			}
			b.eachRow(row, plane, func(src, dst []float32) {
				for i, v := range src {
					dst[i*b.stride] += v
				}
			})
		}
	}
}

// convolution is y[n,m] = sum over c of w[m,c] * x[n,c] in groups, with its
// derivatives. The roles of x and y are swapped for ConvTranspose.
type convolution struct {
	*taps
	batch, group    int
	c, m            int // channels of x and y in one group
	cols, back      []float32
	forward         *product // w [m,k] * columns [k,out]
	weight          *weights // columns [k,out] * dy' [out,m]
	data            *product // w' [k,m] * dy [m,out]
	dw, wt          []float32
	direct          bool // a kernel of one element: the patches are x itself
	depthwise       bool
	planes          *planes // of depthwise images
	pixels          *pixels // of other images, nil if direct
	pixelsBack      *pixels // the derivative by them
	inSize, outSize int     // of one image
}

// newConvolution prepares the convolution of x [batch, c, in] to y [batch, m, out].
func newConvolution(p *pool, w *op.Window, in, out, kernelShape []int, batch, group, c, m int) *convolution {
	t := newTaps(w, in, out, kernelShape)
	v := &convolution{taps: t, batch: batch, group: group, c: c / group, m: m / group}
	v.inSize, v.outSize = c*t.in, m*t.out
	v.depthwise = v.c == 1 && v.m == 1
	if v.depthwise {
		v.planes = newPlanes(p, w, in, out, kernelShape, batch, group)
		return v
	}
	k := v.c * t.kernel
	v.direct = t.kernel == 1 && len(t.runs[0]) == 1 && t.runs[0][0] == tapRun{0, 0, t.in, 1}
	v.weight = newWeights(v, p)
	if fillsVectors(v.c, v.m) && !v.direct {
		if v.pixels = newPixels(p, w, in, out, kernelShape, batch, group, v.c, v.m); v.pixels != nil {
			v.pixelsBack = v.pixels.forData(p, w, in, out, kernelShape)
		}
	}
	v.cols, v.back, v.dw = make([]float32, v.weight.images*k*t.out), make([]float32, k*t.out), make([]float32, k*v.m*group)
	v.forward = newProduct(p, v.m, t.out, k, false, false, 1)
	v.data = newProduct(p, k, t.out, v.m, false, false, 1)
	v.wt = make([]float32, len(v.dw))
	return v
}

// fillsVectors reports channels that vectors move and multiply without rests.
// Images with other numbers are faster by columns.
func fillsVectors(c, m int) bool { return (c == 1 || c%8 == 0) && m%8 == 0 }

// each visits the images and groups: offsets of the group's channels in x, y
// and w.
func (v *convolution) each(f func(x, y, w, group int)) {
	k := v.c * v.kernel
	for n := range v.batch {
		for g := range v.group {
			f(n*v.inSize+g*v.c*v.in, n*v.outSize+g*v.m*v.out, g*v.m*k, g)
		}
	}
}

// patches is the columns [k, out] of one group of channels, in cols unless they
// are x itself.
func (v *convolution) patches(cols, x []float32) []float32 {
	if v.direct {
		return x[:v.c*v.in]
	}
	for c := range v.c {
		v.columns(cols[c*v.kernel*v.out:], x[c*v.in:(c+1)*v.in])
	}
	return cols
}

// run computes y, which it replaces.
func (v *convolution) run(y, x, w []float32) {
	if v.planes != nil {
		v.planes.run(y, x, w)
		return
	}
	if v.pixels != nil {
		v.pixels.pack(w)
		v.pixels.run(y, x, false)
		return
	}
	if v.depthwise {
		clear(y)
		v.each(func(xo, yo, wo, _ int) {
			v.planeForward(y[yo:yo+v.out], x[xo:xo+v.in], w[wo:wo+v.kernel])
		})
		return
	}
	v.each(func(xo, yo, wo, _ int) {
		v.forward.run(y[yo:yo+v.m*v.out], w[wo:], v.patches(v.cols, x[xo:]), true)
	})
}

// planeForward adds one depthwise plane to y.
func (v *convolution) planeForward(y, x, w []float32) {
	for k, blocks := range v.blocks {
		a := w[k]
		for _, b := range blocks {
			if b.stride == 1 {
				kernel.AxpyRows(y[b.out:], b.outStep, a, x[b.in:], b.inStep, b.rows, b.n)
				continue
			}
			b.eachRow(y, x, func(dst, src []float32) {
				for i := range dst {
					dst[i] += a * src[i*b.stride]
				}
			})
		}
	}
}

// eachRow visits the rows of a block: the outputs, and the inputs from the
// first on.
func (b *tapBlock) eachRow(out, in []float32, f func(out, in []float32)) {
	for r := range b.rows {
		f(out[b.out+r*b.outStep:][:b.n], in[b.in+r*b.inStep:])
	}
}

// planeWeights adds to the gradient of one plane's kernel.
func (v *convolution) planeWeights(gw, x, gy []float32) {
	for k, blocks := range v.blocks {
		sum := float32(0)
		for _, b := range blocks {
			if b.stride == 1 {
				sum += kernel.DotRows(gy[b.out:], b.outStep, x[b.in:], b.inStep, b.rows, b.n)
				continue
			}
			b.eachRow(gy, x, func(g, src []float32) {
				for i, d := range g {
					sum += d * src[i*b.stride]
				}
			})
		}
		gw[k] += sum
	}
}

// planeData adds to the gradient of one plane.
func (v *convolution) planeData(gx, w, gy []float32) {
	for k, blocks := range v.blocks {
		a := w[k]
		for _, b := range blocks {
			if b.stride == 1 {
				kernel.AxpyRows(gx[b.in:], b.inStep, a, gy[b.out:], b.outStep, b.rows, b.n)
				continue
			}
			b.eachRow(gy, gx, func(g, dst []float32) {
				for i, d := range g {
					dst[i*b.stride] += a * d
				}
			})
		}
	}
}

// weightGrad adds dW = dy * columns'.
func (v *convolution) weightGrad(gw, x, gy []float32) {
	if v.planes != nil {
		v.planes.weightGrad(gw, x, gy)
		return
	}
	if v.depthwise {
		v.each(func(xo, yo, wo, _ int) {
			v.planeWeights(gw[wo:wo+v.kernel], x[xo:xo+v.in], gy[yo:yo+v.out])
		})
		return
	}
	clear(v.dw)
	k := v.c * v.kernel
	for g := range v.group {
		for n := 0; n < v.batch; n += v.weight.images {
			v.weight.add(v, v.dw[g*k*v.m:(g+1)*k*v.m], x, gy, n, min(n+v.weight.images, v.batch), g)
		}
	}
	for g := range v.group { // dw holds [k, m] for each group
		part, dst := v.dw[g*k*v.m:], gw[g*k*v.m:]
		for i := range k {
			for m := range v.m {
				dst[m*k+i] += part[i*v.m+m]
			}
		}
	}
}

// dataGrad adds dX = w' * dy, scattered, or with write replaces gx by it.
func (v *convolution) dataGrad(gx, w, gy []float32, write bool) {
	switch {
	case v.planes != nil:
		v.planes.dataGrad(gx, w, gy, write)
		return
	case v.pixelsBack != nil:
		v.pixelsBack.packBack(w)
		v.pixelsBack.run(gx, gy, !write)
		return
	case write && (v.depthwise || !v.direct):
		clear(gx)
	}
	if v.depthwise {
		v.each(func(xo, yo, wo, _ int) {
			v.planeData(gx[xo:xo+v.in], w[wo:wo+v.kernel], gy[yo:yo+v.out])
		})
		return
	}
	k := v.c * v.kernel
	for g := range v.group {
		kernel.TransposeF32(v.wt[g*k*v.m:], v.m, w[g*k*v.m:], k, v.m, k)
	}
	v.each(func(xo, yo, wo, _ int) {
		if v.direct {
			v.data.run(gx[xo:], v.wt[wo:], gy[yo:], write)
			return
		}
		v.data.run(v.back, v.wt[wo:], gy[yo:], true)
		for c := range v.c {
			v.scatter(gx[xo+c*v.in:xo+(c+1)*v.in], v.back[c*v.kernel*v.out:])
		}
	})
}

// addBias adds one value to each plane; biasGrad sums the planes.
func addBias(y, bias []float32, plane int) {
	for i := 0; i < len(y); i += plane {
		kernel.AddScalar(y[i:i+plane], bias[i/plane%len(bias)])
	}
}

func biasGrad(g, gy []float32, plane int) {
	for i := 0; i < len(gy); i += plane {
		g[i/plane%len(g)] += total(gy[i : i+plane])
	}
}

// total is the sum of v.
func total(v []float32) float32 { return kernel.Sum(v) }

func convRule(n *node) (func(), func(), error) {
	x, w, y := n.in[0], n.in[1], n.out[0]
	geo, err := op.NewConvGeometry(&n.Attrs, x.shape, w.shape)
	if err != nil {
		return nil, nil, err
	}
	v := newConvolution(n.pool, geo.Window(), x.shape[2:], y.shape[2:], w.shape[2:], x.shape[0], geo.Group(), x.shape[1], y.shape[1])
	forward := func() {
		v.run(y.v, x.v, w.v)
		if n.has(2) {
			addBias(y.v, n.in[2].v, v.out)
		}
	}
	gw, gb := n.g(1), n.g(2)
	gx, write := n.sink(0)
	backward := func() {
		if gb != nil {
			biasGrad(gb, y.g, v.out)
		}
		if gw != nil {
			v.weightGrad(gw, x.v, y.g)
		}
		if gx != nil {
			v.dataGrad(gx, w.v, y.g, write)
		}
	}
	return forward, backward, nil
}

// convTransposeRule runs the convolution that the operator is the transpose of
// backwards: its data gradient is the result, its result the data gradient.
func convTransposeRule(n *node) (func(), func(), error) {
	x, w, y := n.in[0], n.in[1], n.out[0]
	win, _, err := op.NewConvTransposeGeometry(&n.Attrs, x.shape, w.shape)
	if err != nil {
		return nil, nil, err
	}
	v := newConvolution(n.pool, &win, y.shape[2:], x.shape[2:], w.shape[2:], x.shape[0], n.Int("group"), y.shape[1], x.shape[1])
	forward := func() {
		v.dataGrad(y.v, w.v, x.v, true)
		if n.has(2) {
			addBias(y.v, n.in[2].v, v.in)
		}
	}
	gx, gw, gb := n.g(0), n.g(1), n.g(2)
	var scratch []float32
	if gx != nil {
		scratch = make([]float32, len(gx))
	}
	backward := func() {
		if gb != nil {
			biasGrad(gb, y.g, v.in)
		}
		if gw != nil {
			v.weightGrad(gw, y.g, x.v)
		}
		if gx != nil {
			v.run(scratch, y.g, w.v)
			addTo(gx, scratch)
		}
	}
	return forward, backward, nil
}

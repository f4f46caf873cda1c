package runtime

import (
	"slices"
	"unsafe"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// moveOps pass the elements of their first input through.
var moveOps = []string{"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather", "GatherElements", "GatherND", "Expand",
	"Tile", "Split", "DepthToSpace", "SpaceToDepth", "Resize", "MaxPool"}

// matchIntegerMove covers operators that pass values through, on the bytes,
// and a change of parameters after them.
func matchIntegerMove(l *lowerer, n *graph.Node) *lowered {
	t, ok := l.target(n)
	if !ok || len(t.nodes) > 1 || !t.from.Def().Is(moveOps...) {
		return nil
	}
	m := t.from.Def()
	x, ok := l.dequantized(m.In(0))
	if !ok || !x.is8bit() || x.consts != nil {
		return nil
	}
	which := slices.Index(m.Outputs(), t.from)
	table := requantized(x, t.affine)
	if m.Is("MaxPool") {
		if len(m.Outputs()) > 1 {
			return nil
		}
		return matchIntegerMaxPool(l, n, m, x, &t, table)
	}
	inner := l.mover(m)
	if inner == nil {
		return nil
	}
	in := slices.Clone(inner.in)
	in[0] = x.value
	inner.in = in
	f := &lowered{in: in, out: n.Outputs(), nodes: covered(m, t.nodes, x)}
	f.place = func(b *builder) {
		if inner.place != nil {
			inner.place(b)
		}
		f.inLast, f.outLast = inner.inLast, inner.outLast
	}
	f.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		if _, err := bytesIn(in, 0, x); err != nil {
			return nil, err
		}
		out, err := inner.run(f, in)
		if err != nil {
			return nil, err
		}
		y, ok := out[which].(*tensor.Tensor)
		if !ok || table == nil {
			return out[which : which+1], nil
		}
		moved := f.new(t.dtype, y.Shape...)
		f.lookUp(moved.Bytes(), y.Bytes(), table)
		return f.one(moved)
	}
	return f
}

// mover is a step for m, which passes elements of any type through: its fast
// path or its evaluation.
func (l *lowerer) mover(m *graph.Node) *lowered {
	for _, match := range []func(*lowerer, *graph.Node) *lowered{matchTranspose, matchSplit, matchSlice, matchGather, matchView} {
		if f := match(l, m); f != nil {
			return f
		}
	}
	r, err := l.resolve(m)
	if err != nil || r.Eval == nil || m.Is("Resize") && (m.Str("mode", "nearest") != "nearest" || m.Str("coordinate_transformation_mode", "") == "tf_crop_and_resize") {
		return nil
	}
	return &lowered{in: m.Inputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		f.varies()
		return r.Run(m, &f.env, in)
	}}
}

func matchIntegerMaxPool(l *lowerer, n, m *graph.Node, x *affine, t *target, table *[256]byte) *lowered {
	attrs, ok := l.attrs(m)
	if !ok || len(attrs.Ints("kernel_shape")) != 2 {
		return nil
	}
	var w windows
	lowest := byte(0)
	if x.signed() {
		lowest = 0x80
	}
	return &lowered{in: []*graph.Value{x.value}, out: n.Outputs(), nodes: covered(m, t.nodes, x), inLast: []int{4}, outLast: 4,
		run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
			v, err := bytesIn(in, 0, x)
			if err != nil {
				return nil, err
			}
			if err := w.pool(attrs, v); err != nil {
				return nil, err
			}
			c := w.im.c
			out := f.new(t.dtype, w.im.n, w.im.oh, w.im.ow, c)
			y, base := out.Bytes(), w.bytes(f, v, lowest, false)
			f.parts(len(w.offsets), 2*c, func(from, to int) {
				part := y[from*c : to*c]
				kernel.MaxPool8(kernel.Pixels8{Base: base, Offsets: w.offsets[from:to], Taps: w.taps32, Signed: x.signed()}, c, part, c)
				if table != nil {
					kernel.Table8(part, part, table)
				}
			})
			return f.one(out)
		}}
}

// pool plans the windows of a pool over x, channels last.
func (w *windows) pool(attrs *op.Attrs, x *tensor.Tensor) error {
	if slices.Equal(w.shape, x.Shape) {
		return nil
	}
	im, ok := newPoolImage(attrs, plainShape(x.Shape))
	if !ok {
		return errFallback
	}
	return w.plan(x.Shape, im, false, 1, false)
}

// integerMean is AveragePool without padding, GlobalAveragePool or ReduceMean
// over the image: sums times x_scale/(y_scale*count), as onnxruntime's
// QLinearGlobalAveragePool computes.
type integerMean struct {
	x      *affine
	y      *target
	node   *graph.Node
	attrs  *op.Attrs
	keep   bool // the reduced axes stay
	window windows
	sums   *kernel.Depthwise8
}

func matchIntegerMean(l *lowerer, n *graph.Node) *lowered {
	t, ok := l.target(n)
	if !ok || !t.from.Def().Is("AveragePool", "GlobalAveragePool", "ReduceMean") {
		return nil
	}
	p := &integerMean{y: &t, node: t.from.Def(), keep: true}
	if p.x, ok = l.dequantized(p.node.In(0)); !ok || !p.x.is8bit() {
		return nil
	}
	if p.attrs, ok = l.attrs(p.node); !ok || len(l.typeOf(p.node.In(0)).Shape) != 4 {
		return nil
	}
	if p.node.Is("ReduceMean") {
		if axes, ok := l.axes(p.node, p.attrs, 4); !ok || !slices.Equal(axes, []int{2, 3}) {
			return nil
		}
		p.keep = p.attrs.Int("keepdims") != 0
	}
	f := &lowered{in: []*graph.Value{p.x.value}, out: n.Outputs(), nodes: covered(p.node, t.nodes, p.x), inLast: []int{4}, outLast: 4, run: p.run}
	if !p.keep {
		f.outLast = 0
	}
	return f
}

func (p *integerMean) plan(x *tensor.Tensor) error {
	if slices.Equal(p.window.shape, x.Shape) {
		return nil
	}
	p.sums = nil
	if p.node.Is("AveragePool") {
		if err := p.window.pool(p.attrs, x); err != nil {
			return err
		}
		if p.window.copied {
			p.window.shape = nil
			return errFallback
		}
	} else {
		h, w := x.Shape[1], x.Shape[2]
		im := image{n: x.Shape[0], c: x.Shape[3], h: h, w: w, m: x.Shape[3], oh: 1, ow: 1, kh: h, kw: w, sh: 1, sw: 1, dh: 1, dw: 1, group: 1}
		if err := p.window.plan(x.Shape, im, false, 1, false); err != nil {
			return err
		}
	}
	im := &p.window.im
	count := im.kh * im.kw
	scale := p.x.scale[0] / (p.y.scale[0] * float32(count))
	p.sums = kernel.PackDepthwise8(count, im.c, func(int, int) int32 { return 1 }, int32(p.x.zero[0]), p.x.signed(), nil, slices.Repeat([]float32{scale}, im.c))
	if p.sums == nil {
		p.window.shape = nil
		return errFallback
	}
	return nil
}

func (p *integerMean) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, err := bytesIn(in, 0, p.x)
	if err != nil {
		return nil, err
	}
	if err := p.plan(x); err != nil {
		return nil, err
	}
	im := &p.window.im
	shape := []int{im.n, im.oh, im.ow, im.c}
	if !p.keep {
		shape = []int{im.n, im.c}
	}
	out := f.new(p.y.dtype, shape...)
	y, rq := out.Bytes(), p.y.requant()
	var base unsafe.Pointer = p.window.bytes(f, x, 0, false)
	f.parts(len(p.window.offsets), im.kh*im.kw*im.c, func(from, to int) {
		p.sums.Run(kernel.Pixels8{Base: base, Offsets: p.window.offsets[from:to], Taps: p.window.taps32, Signed: p.x.signed()}, y[from*im.c:], im.c, rq)
	})
	return f.one(out)
}

// integerConcat is Concat of 8-bit values, with a table for each input that
// has other parameters than the result.
type integerConcat struct {
	in     []*affine
	tables []*[256]byte
	y      *target
	axis   int
	last   int // rank if channels last
}

func matchIntegerConcat(l *lowerer, n *graph.Node) *lowered {
	t, ok := l.target(n)
	if !ok || len(t.nodes) > 1 || !t.from.Def().Is("Concat") {
		return nil
	}
	node := t.from.Def()
	attrs, ok := l.attrs(node)
	if !ok {
		return nil
	}
	c := &integerConcat{y: &t, axis: attrs.Int("axis")}
	f := &lowered{out: n.Outputs(), run: c.run}
	for _, v := range node.Inputs() {
		x, ok := l.dequantized(v)
		if !ok || !x.is8bit() {
			return nil
		}
		c.in, c.tables = append(c.in, x), append(c.tables, requantized(x, t.affine))
		f.in = append(f.in, x.value)
	}
	f.nodes = covered(node, t.nodes, c.in...)
	follow := followLayout(f)
	f.place = func(b *builder) {
		follow(b)
		c.last = f.outLast
	}
	return f
}

func (c *integerConcat) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	var parts []*tensor.Tensor
	for i := range in {
		t, err := bytesIn(in, i, c.in[i])
		if err != nil {
			return nil, err
		}
		parts = append(parts, t)
	}
	rank := parts[0].Rank()
	axis, ok := op.Axis(c.axis, rank)
	if !ok {
		return nil, errFallback
	}
	if c.last > 0 {
		axis = lastAxis(axis, rank)
	}
	shape := slices.Clone(parts[0].Shape)
	shape[axis] = 0
	for _, t := range parts {
		if t.Rank() != rank {
			return nil, errFallback
		}
		for d := range shape {
			if d != axis && t.Shape[d] != shape[d] {
				return nil, errFallback
			}
		}
		shape[axis] += t.Shape[axis]
	}
	out := f.new(c.y.dtype, shape...)
	y := out.Bytes()
	outer, row := volume(shape[:axis]), volume(shape[axis:])
	f.rows(outer, len(y), func(from, to int) {
		at := 0
		for i, t := range parts {
			src, n := t.Bytes(), t.Len()/max(outer, 1)
			for o := from; o < to; o++ {
				dst := y[o*row+at : o*row+at+n]
				if c.tables[i] != nil {
					kernel.Table8(dst, src[o*n:(o+1)*n], c.tables[i])
				} else {
					copy(dst, src[o*n:])
				}
			}
			at += n
		}
	})
	return f.one(out)
}

package runtime

import (
	"errors"
	"slices"
	"unsafe"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// integerConv is a Conv of one or two spatial dims on bytes, channels last.
type integerConv struct {
	products
	node      *graph.Node
	attrs     *op.Attrs
	shape     []int // of the weights
	group     int
	packed    []*kernel.Weights8 // of each group
	depthwise *kernel.Depthwise8
	shift     []float32 // zeros, for a float result
	saturate  bool      // see Options.Device
	gather    bool      // windows are copied to rows of all their taps
	transpose bool      // see integer_transpose.go
	window    windows
}

func matchIntegerConv(l *lowerer, n *graph.Node) *lowered {
	t, ok := l.target(n)
	if !ok || !t.from.Def().Is("Conv") {
		return nil
	}
	c := &integerConv{node: t.from.Def(), products: products{y: &t}}
	if c.x, ok = l.dequantized(c.node.In(0)); !ok {
		return nil
	}
	if c.w, ok = l.dequantized(c.node.In(1)); !ok || !c.match(l) || !c.setBias(l, c.node.In(2), c.shape[0]) {
		return nil
	}
	return c.lowered([]*graph.Value{c.x.value}, n.Outputs(), covered(c.node, t.nodes, c.x, c.w, c.b))
}

// matchIntegerConvFloat covers a Conv with a float result.
func matchIntegerConvFloat(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("Conv") {
		return nil
	}
	c := &integerConv{node: n}
	var ok bool
	if c.x, ok = l.dequantized(n.In(0)); !ok {
		return nil
	}
	if c.w, ok = l.dequantized(n.In(1)); !ok || !c.match(l) || c.isDepthwise() || !c.setBias(l, n.In(2), c.shape[0]) {
		return nil
	}
	c.shift = make([]float32, c.shape[0])
	return c.lowered([]*graph.Value{c.x.value}, n.Outputs(), covered(n, nil, c.x, c.w, c.b))
}

func (c *integerConv) match(l *lowerer) bool {
	if c.w.consts == nil {
		return false
	}
	var ok bool
	c.shape = c.w.consts.Shape
	if c.attrs, ok = l.attrs(c.node); !ok || len(c.shape) < 3 || len(c.shape) > 4 || c.w.consts.Len() == 0 {
		return false
	}
	c.group, c.saturate = c.attrs.Int("group"), l.saturates() && c.y != nil
	return c.group > 0 && c.shape[0]%c.group == 0 && c.weights(0, c.shape[0])
}

func (c *integerConv) lowered(in, out []*graph.Value, nodes []*graph.Node) *lowered {
	rank := len(c.shape)
	last := make([]int, len(in))
	last[0] = rank
	return &lowered{in: in, out: out, nodes: nodes, inLast: last, outLast: rank, prepare: c.pack, run: c.run}
}

// isDepthwise reports one input and one output channel in each group.
func (c *integerConv) isDepthwise() bool {
	return c.group == c.shape[0] && c.shape[1] == 1 && c.group > 1
}

// pack lays the weights out: the kernel columns of one row, side by side in
// memory, are one tap unless dilation or groups part them.
func (c *integerConv) pack() error {
	m, cg := c.shape[0], c.shape[1]
	kh, kw := 1, c.shape[len(c.shape)-1]
	if len(c.shape) == 4 {
		kh = c.shape[2]
	}
	zero, signed := int32(c.x.zero[0]), c.x.signed()
	var w []int16
	if !c.transpose {
		w = c.flat(m, cg*kh*kw, false)
	}
	if c.isDepthwise() {
		c.depthwise = kernel.PackDepthwise8(kh*kw, m, func(tap, ch int) int32 { return int32(w[ch*kh*kw+tap]) }, zero, signed, c.bias, c.scale)
		return packed(c.depthwise != nil)
	}
	if c.transpose {
		w = c.turned()
	} else {
		w = channelsInside(w, m, cg, kh*kw)
	}
	c.packed = make([]*kernel.Weights8, c.group)
	mg := m / c.group
	taps, run := kh*kw, 1
	if c.merged() {
		taps, run = kh, kw
	}
	if c.gather = c.saturate && run*cg%2 == 1 && taps > 1; c.gather {
		taps, run = 1, kh*kw // the order of pairs is that of all taps
	}
	for g := range c.packed {
		var bias []int32
		if c.bias != nil {
			bias = c.bias[g*mg : (g+1)*mg]
		}
		c.packed[g] = kernel.Pack8(taps, run*cg, mg, w[g*mg*cg*kh*kw:(g+1)*mg*cg*kh*kw], zero, signed, bias, c.scale[g*mg:(g+1)*mg], c.saturate)
		if err := packed(c.packed[g] != nil); err != nil {
			return err
		}
	}
	return nil
}

// channelsInside is [m][c][taps] as [m][taps][c].
func channelsInside(w []int16, m, c, taps int) []int16 {
	if taps == 1 || c == 1 {
		return w
	}
	out := make([]int16, len(w))
	for i := range m {
		src, dst := w[i*c*taps:(i+1)*c*taps], out[i*c*taps:(i+1)*c*taps]
		for ch := range c {
			for t, v := range src[ch*taps : (ch+1)*taps] {
				dst[t*c+ch] = v
			}
		}
	}
	return out
}

// merged reports that a kernel row is one run of bytes.
func (c *integerConv) merged() bool {
	d := c.attrs.Ints("dilations")
	return c.group == 1 && (len(d) == 0 || d[len(d)-1] == 1)
}

func (c *integerConv) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, err := bytesIn(in, 0, c.x)
	if err != nil {
		return nil, err
	}
	if err := c.plan(x); err != nil {
		return nil, err
	}
	zero, err := c.zeroPoint(in)
	if err != nil {
		return nil, err
	}
	im := &c.window.im
	shape := []int{im.n, im.oh, im.ow, im.m}
	if len(c.shape) == 3 {
		shape = []int{im.n, im.ow, im.m}
	}
	if c.y == nil {
		f.reads(1)
		for _, w := range c.packed {
			w.SetZero(zero)
		}
		if c.shift != nil {
			return c.floats(f, x, zero, shape)
		}
		return c.sums(f, x, zero, shape)
	}
	out := f.new(c.y.dtype, shape...)
	y, rq := out.Bytes(), c.y.requant()
	if c.depthwise != nil {
		base := c.window.bytes(f, x, byte(zero), false)
		f.parts(len(c.window.offsets), 2*im.c*im.sh*im.sw, func(from, to int) {
			p := kernel.Pixels8{Base: base, Offsets: c.window.offsets[from:to], Taps: c.window.taps32, Signed: c.x.signed()}
			c.depthwise.Run(p, y[from*im.c:], im.c, rq)
		})
		return f.one(out)
	}
	c.eachGroup(f, x, zero, func(g int, a kernel.Rows8, from int) {
		c.packed[g].Dot(a, y[from*im.m+g*(im.m/c.group):], im.m, rq)
	})
	return f.one(out)
}

// sums is run with the int32 sums as result.
func (c *integerConv) sums(f *frame, x *tensor.Tensor, zero int32, shape []int) ([]tensor.Value, error) {
	out := f.new(tensor.Int32, shape...)
	y, m := tensor.View[int32](out), c.window.im.m
	c.eachGroup(f, x, zero, func(g int, a kernel.Rows8, from int) {
		c.packed[g].Sums(a, y[from*m+g*(m/c.group):], m)
	})
	return f.one(out)
}

// floats is run with a float result; the sums take its place first.
func (c *integerConv) floats(f *frame, x *tensor.Tensor, zero int32, shape []int) ([]tensor.Value, error) {
	out, y := f.floats(shape...)
	if len(y) == 0 {
		return f.one(out)
	}
	m := c.window.im.m
	sums := unsafe.Slice((*int32)(unsafe.Pointer(&y[0])), len(y))
	c.eachGroup(f, x, zero, func(g int, a kernel.Rows8, from int) {
		first := g * (m / c.group)
		c.packed[g].Sums(a, sums[from*m+first:], m)
	})
	f.rows(len(y)/m, len(y), func(from, to int) {
		for i := from * m; i < to*m; i += m {
			kernel.ScaleSums(y[i:i+m], sums[i:i+m], c.scale, c.shift)
		}
	})
	return f.one(out)
}

// eachGroup calls product for parts of the output pixels of each group.
func (c *integerConv) eachGroup(f *frame, x *tensor.Tensor, zero int32, product func(g int, a kernel.Rows8, from int)) {
	im, wide := &c.window.im, c.packed[0].Wide
	base := c.window.bytes(f, x, byte(zero), wide)
	elem := 1
	if wide {
		elem = 2
	}
	f.parts(len(c.window.offsets), elem*im.c*im.sh*im.sw, func(from, to int) {
		for g := range c.packed {
			a := kernel.Rows8{Base: unsafe.Add(base, g*c.shape[1]*elem), Offsets: c.window.offsets[from:to], Taps: c.window.taps}
			if c.gather {
				a = gathered(a, c.packed[g].K/len(a.Taps), elem)
			}
			product(g, a, from)
		}
	})
}

// gathered is a with the runs of each row copied side by side.
func gathered(a kernel.Rows8, run, elem int) kernel.Rows8 {
	row := run * len(a.Taps)
	buffer := make([]byte, len(a.Offsets)*row*elem+64)
	for i, offset := range a.Offsets {
		for t, tap := range a.Taps {
			src := unsafe.Slice((*byte)(unsafe.Add(a.Base, (int(offset)+tap)*elem)), run*elem)
			copy(buffer[(i*row+t*run)*elem:], src)
		}
	}
	return kernel.Rows8{Base: unsafe.Pointer(&buffer[0]), Offsets: offsets(nil, len(a.Offsets), row), Taps: noTap}
}

// plan works the geometry out for the shape of x, channels last.
func (c *integerConv) plan(x *tensor.Tensor) error {
	if slices.Equal(c.window.shape, x.Shape) {
		return nil
	}
	im, stuff, ok := c.image(x)
	if !ok || im.c != c.shape[1]*c.group {
		return errFallback
	}
	wide := c.packed != nil && c.packed[0].Wide
	need := 1 // multiple of elements of a run that needs no bytes behind it
	if c.packed != nil {
		need = 4
		if wide {
			need = 2
		}
	}
	c.window = windows{stuff: stuff}
	return c.window.plan(x.Shape, im, c.merged() && c.depthwise == nil, need, wide)
}

// image is the geometry of the convolution of x, and how far apart the pixels
// of x are in it.
func (c *integerConv) image(x *tensor.Tensor) (im image, stuff [2]int, ok bool) {
	if c.transpose {
		return c.stuffed(x)
	}
	im, ok = newImage(c.attrs, plainShape(x.Shape), c.shape)
	return im, [2]int{1, 1}, ok
}

// plainShape is the shape of a channels-last tensor with its channels second.
func plainShape(last []int) []int {
	n := len(last)
	return append([]int{last[0], last[n-1]}, last[1:n-1]...)
}

// errPack cannot happen with what match lets pass.
var errPack = errors.New("weights cannot be packed")

func packed(ok bool) error {
	if !ok {
		return errPack
	}
	return nil
}

package runtime

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// Integer execution of DequantizeLinear - op - QuantizeLinear islands, as the
// specification of QLinearConv and QLinearMatMul says: int32 sums of products
// of (q - zero point), one float32 multiplier for each output channel, round
// half to even, saturate.

// affine is q -> (q - zero) * scale with constant parameters.
type affine struct {
	value  *graph.Value // the quantized value
	scale  []float32
	zero   []int64 // as many as scale
	axis   int
	dtype  tensor.DType
	consts *tensor.Tensor // the quantized values if constant
}

func (a *affine) perTensor() bool { return len(a.scale) == 1 }

// dequantized is the constant parameters of the DequantizeLinear that makes v.
func (l *lowerer) dequantized(v *graph.Value) (*affine, bool) {
	if v == nil || v.Def() == nil || !v.Def().Is("DequantizeLinear") || v.Graph() != l.graph {
		return nil, false
	}
	return l.affine(v.Def(), v.Def().In(0))
}

func (l *lowerer) affine(n *graph.Node, q *graph.Value) (*affine, bool) {
	attrs, ok := l.attrs(n)
	if !ok || attrs.Int("block_size") != 0 || attrs.Int("output_dtype") != 0 && attrs.Node.Is("DequantizeLinear") {
		return nil, false
	}
	s, z := n.In(1).Const(), n.In(2).Const()
	if s == nil || s.Type != tensor.Float32 || s.Rank() > 1 || n.In(2) != nil && z == nil {
		return nil, false
	}
	a := &affine{value: q, scale: s.Float32s(), zero: make([]int64, s.Len()), axis: attrs.Int("axis"), dtype: tensor.Uint8, consts: q.Const()}
	if z != nil {
		if !z.Type.IsInt() || z.Len() != s.Len() {
			return nil, false
		}
		a.zero, a.dtype = z.Ints(), z.Type
	} else if a.consts != nil {
		a.dtype = a.consts.Type
	} else if n.Is("DequantizeLinear") || attrs.Int("output_dtype") != 0 {
		return nil, false // the type is known only at run time
	}
	return a, true
}

func is8bit(t tensor.DType) bool { return t == tensor.Uint8 || t == tensor.Int8 }

// island is a Conv, Gemm or MatMul between quantized operands.
type island struct {
	node  *graph.Node
	attrs *op.Attrs
	x, w  *affine
	bias  []int32
	y     *affine // nil: the result is float
	// lo and hi bound the quantized result, with a fused activation.
	lo, hi int32

	rows   []int16   // weights less zero point, [M][padded K], for Conv
	packed []int16   // weights for Gemm and MatMul
	m, k   int       // output channels, sum length of one output
	scale  []float32 // one multiplier for each output channel
}

func matchIntegerQuantize(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("QuantizeLinear") {
		return nil
	}
	y, ok := l.affine(n, n.Out(0))
	if !ok || !y.perTensor() || !is8bit(y.dtype) {
		return nil
	}
	v := n.In(0)
	lo, hi := y.dtype.IntRange()
	is := &island{y: y, lo: int32(lo), hi: int32(hi)}
	if d := v.Def(); d != nil && d.Is("Relu", "Clip") && l.hidden(v) {
		low, high, ok := activationRange(d)
		if !ok {
			return nil
		}
		is.lo, is.hi = y.quantize(low), y.quantize(high)
		v = d.In(0)
	}
	if v.Def() == nil || !l.hidden(v) || !is.prepare(l, v.Def()) {
		return nil
	}
	return &lowered{in: []*graph.Value{is.x.value}, out: n.Outputs(), run: is.run}
}

func matchIntegerFloat(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("Gemm", "MatMul") {
		return nil
	}
	is := &island{}
	if !is.prepare(l, n) {
		return nil
	}
	return &lowered{in: []*graph.Value{is.x.value}, out: n.Outputs(), run: is.run}
}

// activationRange is the bounds of a Relu or a Clip with constant bounds.
func activationRange(n *graph.Node) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	if n.Op == "Relu" {
		return 0, hi, true
	}
	for i, p := range []*float32{&lo, &hi} {
		if v := n.In(i + 1); v != nil {
			c := v.Const()
			if d := v.Def(); c == nil && d != nil && d.Is("Constant") && d.Attr("value") != nil {
				c = d.Attr("value").T.Tensor
			}
			if c == nil || c.Len() != 1 || c.Type != tensor.Float32 {
				return 0, 0, false
			}
			*p = c.Float32s()[0]
		}
	}
	lo = n.Float("min", lo)
	hi = n.Float("max", hi)
	return lo, hi, true
}

// quantize is the quantized value of x.
func (a *affine) quantize(x float32) int32 {
	lo, hi := a.dtype.IntRange()
	q := math.RoundToEven(float64(x/a.scale[0])) + float64(a.zero[0])
	return int32(min(max(q, float64(lo)), float64(hi)))
}

// prepare packs the weights of n; false if n is not of the supported form.
func (is *island) prepare(l *lowerer, n *graph.Node) bool {
	attrs, ok := l.attrs(n)
	if !ok || !n.Is("Conv", "Gemm", "MatMul") || len(n.Inputs()) < 2 {
		return false
	}
	is.node, is.attrs = n, attrs
	if is.x, ok = l.dequantized(n.In(0)); !ok || !is.x.perTensor() || !is8bit(is.x.dtype) {
		return false
	}
	if is.w, ok = l.dequantized(n.In(1)); !ok || is.w.consts == nil || !is8bit(is.w.dtype) {
		return false
	}
	shape := is.w.consts.Shape
	var values []int16
	switch {
	case n.Is("Conv") && len(shape) > 4:
		return false
	case n.Is("Conv"):
		is.m, is.k = shape[0], is.w.consts.Len()/max(shape[0], 1)
		values, ok = is.weights(0)
	case len(shape) != 2:
		return false
	case n.Is("Gemm") && (attrs.Int("transA") != 0 || attrs.Float("alpha") != 1 || attrs.Float("beta") != 1):
		return false
	case n.Is("Gemm") && attrs.Int("transB") != 0:
		is.m, is.k = shape[0], shape[1]
		values, ok = is.weights(0)
		is.packed = kernel.PackPairs(nil, values, is.k, is.m, 1, is.k)
	default:
		is.m, is.k = shape[1], shape[0]
		values, ok = is.weights(1)
		is.packed = kernel.PackPairs(nil, values, is.k, is.m, is.m, 1)
	}
	// Sums of k products of at most 255*255 stay inside int32.
	if !ok || is.k == 0 || is.k > math.MaxInt32/(255*255) {
		return false
	}
	if n.Is("Conv") {
		is.rows = padRows(values, is.m, is.k)
	}
	is.setScale()
	return is.setBias(l, n.In(2))
}

// weights is the elements less their zero point, which can be one for each
// index of the output-channel axis.
func (is *island) weights(axis int) ([]int16, bool) {
	w := is.w
	if !w.perTensor() {
		a, ok := op.Axis(w.axis, w.consts.Rank())
		if !ok || a != axis || len(w.scale) != is.m {
			return nil, false
		}
	}
	inner := 1
	for _, d := range w.consts.Shape[axis+1:] {
		inner *= d
	}
	out := make([]int16, w.consts.Len())
	for i, v := range w.consts.Ints() {
		z := w.zero[0]
		if !w.perTensor() {
			z = w.zero[i/inner%is.m]
		}
		out[i] = int16(v - z)
	}
	return out, true
}

// padRows makes the rows of an m x k matrix even in length.
func padRows(v []int16, m, k int) []int16 {
	even := (k + 1) &^ 1
	out := make([]int16, m*even)
	for i := range m {
		copy(out[i*even:], v[i*k:(i+1)*k])
	}
	return out
}

// setScale computes x_scale*w_scale/y_scale, or x_scale*w_scale for a float
// result, in float32.
func (is *island) setScale() {
	is.scale = make([]float32, is.m)
	for i := range is.scale {
		is.scale[i] = is.x.scale[0] * is.w.scale[min(i, len(is.w.scale)-1)]
		if is.y != nil {
			is.scale[i] /= is.y.scale[0]
		}
	}
}

// setBias takes an int32 bias of scale x_scale*w_scale.
func (is *island) setBias(l *lowerer, v *graph.Value) bool {
	is.bias = make([]int32, is.m)
	if v == nil || is.node.Is("MatMul") {
		return true
	}
	b, ok := l.dequantized(v)
	if !ok || b.consts == nil || b.consts.Type != tensor.Int32 || b.consts.Len() != is.m || b.consts.Rank() != 1 {
		return false
	}
	for i := range is.m {
		want := is.x.scale[0] * is.w.scale[min(i, len(is.w.scale)-1)]
		got := b.scale[min(i, len(b.scale)-1)]
		if math.Abs(float64(got-want)) > 1e-6*float64(want) || b.zero[min(i, len(b.zero)-1)] != 0 {
			return false
		}
	}
	copy(is.bias, tensor.View[int32](b.consts))
	return true
}

func (is *island) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	x, ok := in[0].(*tensor.Tensor)
	if !ok || x.Type != is.x.dtype {
		return nil, fmt.Errorf("node %s: input %v, want %v", is.node.Title(), in[0], is.x.dtype)
	}
	v := centered(x, int32(is.x.zero[0]))
	var shape []int
	var acc []int32
	if is.node.Is("Conv") {
		im, ok := newImage(is.attrs, x.Shape, is.w.consts.Shape)
		if !ok {
			return nil, fmt.Errorf("node %s: input %v for weight %v", is.node.Title(), x, is.w.consts)
		}
		shape, acc = convShape(x.Shape, im), is.convolve(&im, v)
		return []tensor.Value{is.finish(shape, acc, im.oh*im.ow)}, nil
	}
	if x.Rank() < 1 || x.Shape[x.Rank()-1] != is.k {
		return nil, fmt.Errorf("node %s: input %v for a sum over %d", is.node.Title(), x, is.k)
	}
	rows := x.Len() / is.k
	shape = append(slices.Clone(x.Shape[:x.Rank()-1]), is.m)
	acc = make([]int32, rows*is.m)
	v = padRows(v, rows, is.k)
	even := (is.k + 1) &^ 1
	kernel.Igemm(rows, is.m, even, v, even, is.packed, acc, is.m)
	return []tensor.Value{is.finish(shape, acc, 1)}, nil
}

// centered is q - zero as int16.
func centered(x *tensor.Tensor, zero int32) []int16 {
	out := make([]int16, x.Len())
	if x.Type == tensor.Int8 {
		for i, q := range tensor.View[int8](x) {
			out[i] = int16(int32(q) - zero)
		}
		return out
	}
	for i, q := range x.Bytes() {
		out[i] = int16(int32(q) - zero)
	}
	return out
}

// convolve sums in int32; padding is the zero point, which is 0 in x.
func (is *island) convolve(im *image, x []int16) []int32 {
	pixels := im.oh * im.ow
	acc := make([]int32, im.n*im.m*pixels)
	if im.group == im.c && im.m == im.c {
		is.depthwise(im, x, acc)
		return acc
	}
	cg, mg := im.c/im.group, im.m/im.group
	even := (is.k + 1) &^ 1
	var packed []int16
	for n := range im.n {
		for g := range im.group {
			packed = patchPairs(im, packed, x[(n*im.c+g*cg)*im.h*im.w:], cg)
			kernel.Igemm(mg, pixels, even, is.rows[g*mg*even:], even, packed, acc[(n*im.m+g*mg)*pixels:], pixels)
		}
	}
	return acc
}

func (is *island) depthwise(im *image, x []int16, acc []int32) {
	taps, pixels, plane := im.kh*im.kw, im.oh*im.ow, im.h*im.w
	even := (taps + 1) &^ 1
	for t := range taps {
		im.columns(t/im.kw, t%im.kw, func(oy, x0, x1, from int) {
			for nc := range im.n * im.c {
				w := int32(is.rows[nc%im.c*even+t])
				src, dst := x[nc*plane+from:], acc[nc*pixels+oy*im.ow+x0:nc*pixels+oy*im.ow+x1]
				for i := range dst {
					dst[i] += w * int32(src[i*im.sw])
				}
			}
		})
	}
}

// patchPairs packs the patch matrix for Igemm: see patches.
func patchPairs(im *image, packed, x []int16, cg int) []int16 {
	taps, pixels := im.kh*im.kw, im.oh*im.ow
	panel := (cg*taps + 1) / 2 * 2 * kernel.Lanes
	size := kernel.Panels(pixels) * panel
	if cap(packed) < size {
		packed = make([]int16, size)
	}
	packed = packed[:size]
	clear(packed)
	for t := range taps {
		im.columns(t/im.kw, t%im.kw, func(oy, x0, x1, from int) {
			for c := range cg {
				src, row := x[c*im.h*im.w+from:], c*taps+t
				at := row/2*2*kernel.Lanes + row%2
				for i, pix := 0, oy*im.ow+x0; pix < oy*im.ow+x1; i, pix = i+im.sw, pix+1 {
					packed[pix/kernel.Lanes*panel+at+pix%kernel.Lanes*2] = src[i]
				}
			}
		})
	}
	return packed
}

// finish adds the bias and requantizes, or scales to float. plane consecutive
// sums belong to one output channel.
func (is *island) finish(shape []int, acc []int32, plane int) *tensor.Tensor {
	if is.y == nil {
		out := tensor.New(tensor.Float32, shape...)
		y := tensor.View[float32](out)
		for i, a := range acc {
			c := i / plane % is.m
			y[i] = float32(a+is.bias[c]) * is.scale[c]
		}
		return out
	}
	out := tensor.New(is.y.dtype, shape...)
	y, zero := out.Bytes(), int32(is.y.zero[0])
	for first := 0; first < len(acc); first += plane {
		c := first / plane % is.m
		bias, scale := is.bias[c], is.scale[c]
		for i, a := range acc[first : first+plane] {
			r := math.RoundToEven(float64(float32(a+bias) * scale))
			q := int32(min(max(r, -1<<20), 1<<20)) + zero
			y[first+i] = byte(min(max(q, is.lo), is.hi))
		}
	}
	return out
}

// matchIntegerMove covers operators that pass values through, between a
// DequantizeLinear and a QuantizeLinear of the same parameters.
func matchIntegerMove(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("QuantizeLinear") || n.In(0) == nil || n.In(0).Def() == nil || !l.hidden(n.In(0)) {
		return nil
	}
	m := n.In(0).Def()
	if !m.Is("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather") || len(m.Outputs()) != 1 {
		return nil
	}
	y, ok := l.affine(n, n.Out(0))
	x, ok2 := l.dequantized(m.In(0))
	if !ok || !ok2 || !x.perTensor() || !y.perTensor() || !is8bit(y.dtype) || x.dtype != y.dtype ||
		x.scale[0] != y.scale[0] || x.zero[0] != y.zero[0] {
		return nil
	}
	r, err := op.Resolve(m, l.opset)
	if err != nil {
		return nil
	}
	in := slices.Clone(m.Inputs())
	in[0] = x.value
	attrs := &op.Attrs{Node: m, Since: r.Since, Schema: r.Schema}
	return &lowered{in: in, out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		if m.Is("MaxPool") {
			if t := in[0].(*tensor.Tensor); t.Rank() == 4 {
				if im, ok := newPoolImage(attrs, t.Shape); ok {
					return []tensor.Value{integerMaxPool(&im, t)}, nil
				}
			}
		}
		return r.Run(m, &f.env, in)
	}}
}

func integerMaxPool(im *image, x *tensor.Tensor) *tensor.Tensor {
	out := tensor.New(x.Type, im.n, im.c, im.oh, im.ow)
	if x.Type == tensor.Uint8 {
		maxPool(im, tensor.View[uint8](x), tensor.View[uint8](out), 0)
	} else {
		maxPool(im, tensor.View[int8](x), tensor.View[int8](out), -128)
	}
	return out
}

// matchQuantize covers QuantizeLinear of float32 and DequantizeLinear of 8-bit
// activations with one constant scale.
func matchQuantize(l *lowerer, n *graph.Node) *lowered {
	if !n.Is("QuantizeLinear", "DequantizeLinear") {
		return nil
	}
	a, ok := l.affine(n, n.Out(0))
	if !ok || !a.perTensor() || !is8bit(a.dtype) {
		return nil
	}
	if n.Is("QuantizeLinear") {
		return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
			x, ok := in[0].(*tensor.Tensor)
			if !ok || x.Type != tensor.Float32 {
				return nil, errFallback
			}
			out := tensor.New(a.dtype, x.Shape...)
			y := out.Bytes()
			for i, v := range x.Float32s() {
				y[i] = byte(a.quantize(v))
			}
			return []tensor.Value{out}, nil
		}}
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		if !ok || x.Type != a.dtype {
			return nil, errFallback
		}
		out := tensor.New(tensor.Float32, x.Shape...)
		y, zero, scale := tensor.View[float32](out), int32(a.zero[0]), a.scale[0]
		for i, q := range centered(x, zero) {
			y[i] = float32(q) * scale
		}
		return []tensor.Value{out}, nil
	}}
}

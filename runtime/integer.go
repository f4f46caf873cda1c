package runtime

import (
	"fmt"
	"math"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// Integer execution of DequantizeLinear - op - QuantizeLinear, as the
// specification of QLinearConv and QLinearMatMul says: int32 sums of products
// of (q - zero point), one float32 multiplier for each output channel, round
// half to even, saturate. Where the specification has no quantized operator,
// the roundings are those of onnxruntime's (Add, Mul, average pools), or the
// result is that of the float operators (tables, data movement).

// affine is q -> (q - zero) * scale with constant parameters.
type affine struct {
	value  *graph.Value // the quantized value
	node   *graph.Node  // the DequantizeLinear that reads or the QuantizeLinear that makes it, or nil
	scale  []float32
	zero   []int64 // as many as scale
	axis   int
	dtype  tensor.DType
	consts *tensor.Tensor // the quantized values if constant
}

func (a *affine) perTensor() bool { return len(a.scale) == 1 }

func (a *affine) signed() bool { return a.dtype == tensor.Int8 }

// bytes is a per-tensor 8-bit affine for kernels.
func (a *affine) bytes() kernel.Affine8 {
	return kernel.Affine8{Scale: a.scale[0], Zero: int32(a.zero[0]), Signed: a.signed()}
}

// is8bit reports a known 8-bit type and one scale.
func (a *affine) is8bit() bool { return a.perTensor() && is8bit(a.dtype) }

func is8bit(t tensor.DType) bool { return t == tensor.Uint8 || t == tensor.Int8 }

// same reports equal types and parameters of two per-tensor values.
func (a *affine) same(b *affine) bool {
	return a.dtype == b.dtype && a.scale[0] == b.scale[0] && a.zero[0] == b.zero[0]
}

// quantize is the quantized value of x.
func (a *affine) quantize(x float32) int32 {
	lo, hi := a.dtype.IntRange()
	q := math.RoundToEven(float64(x/a.scale[0])) + float64(a.zero[0])
	return int32(min(max(q, float64(lo)), float64(hi)))
}

// dequantized is the constant parameters of the DequantizeLinear that makes v.
func (l *lowerer) dequantized(v *graph.Value) (*affine, bool) {
	if v == nil || v.Def() == nil || !v.Def().Is("DequantizeLinear") || v.Graph() != l.graph {
		return nil, false
	}
	return l.affine(v.Def(), v.Def().In(0))
}

// affine reads the parameters of n, a QuantizeLinear or DequantizeLinear whose
// quantized side is q.
func (l *lowerer) affine(n *graph.Node, q *graph.Value) (*affine, bool) {
	attrs, ok := l.attrs(n)
	if !ok || attrs.Int("block_size") != 0 || attrs.Int("output_dtype") != 0 && n.Is("DequantizeLinear") || attrs.Int("precision") > 1 {
		return nil, false
	}
	a, ok := l.parameters(n.In(1), n.In(2))
	if !ok {
		return nil, false
	}
	a.value, a.node, a.axis, a.consts = q, n, attrs.Int("axis"), l.constant(q)
	switch {
	case n.In(2) != nil:
	case a.consts != nil:
		a.dtype = a.consts.Type
	case n.Is("DequantizeLinear"): // the type is known only from inference
		a.dtype = l.typeOf(q).Elem
	case attrs.Int("output_dtype") != 0:
		return nil, false
	}
	if a.consts == nil {
		a.join()
	}
	return a, a.dtype.IsInt()
}

// parameters reads a scale and an optional zero point.
func (l *lowerer) parameters(scale, zero *graph.Value) (*affine, bool) {
	s, z := l.constant(scale), l.constant(zero)
	if s == nil || s.Type != tensor.Float32 || s.Rank() > 1 || s.Len() == 0 || zero != nil && z == nil {
		return nil, false
	}
	a := &affine{scale: s.Float32s(), zero: make([]int64, s.Len()), dtype: tensor.Uint8}
	if z != nil {
		if !z.Type.IsInt() || z.Len() != s.Len() {
			return nil, false
		}
		a.zero, a.dtype = z.Ints(), z.Type
	}
	for _, v := range a.scale {
		if !(v > 0) || math.IsInf(float64(v), 0) {
			return nil, false
		}
	}
	return a, true
}

// join makes one scale and zero point of equal ones.
func (a *affine) join() {
	for i := range a.scale {
		if a.scale[i] != a.scale[0] || a.zero[i] != a.zero[0] {
			return
		}
	}
	a.scale, a.zero = a.scale[:1], a.zero[:1]
}

// target is where a chain ends: the QuantizeLinear that takes its result, with
// the bounds of an activation before it.
type target struct {
	*affine
	lo, hi int32
	nodes  []*graph.Node // the activation and the QuantizeLinear
	from   *graph.Value  // what they read; nobody else does
}

// target reads the end of a chain from its last node; ok is false unless it is
// a per-tensor 8-bit QuantizeLinear of a value that is used there alone.
func (l *lowerer) target(n *graph.Node) (t target, ok bool) {
	if !n.Is("QuantizeLinear") {
		return t, false
	}
	y, ok := l.affine(n, n.Out(0))
	if !ok || !y.is8bit() {
		return t, false
	}
	t = newTarget(y)
	t.nodes, t.from = []*graph.Node{n}, n.In(0)
	if d := t.from.Def(); d != nil && d.Is("Relu", "Clip") && l.hidden(t.from) {
		if low, high, ok := l.activationRange(d); ok {
			t.lo, t.hi = y.quantize(low), y.quantize(high)
			t.nodes, t.from = []*graph.Node{d, n}, d.In(0)
		}
	}
	return t, l.hidden(t.from)
}

func newTarget(y *affine) target {
	lo, hi := y.dtype.IntRange()
	return target{affine: y, lo: int32(lo), hi: int32(hi)}
}

func (t *target) requant() kernel.Requant {
	return kernel.Requant{Lo: t.lo, Hi: t.hi, Zero: int32(t.zero[0]), Signed: t.signed()}
}

// activationRange is the bounds of a Relu or a Clip with constant bounds.
func (l *lowerer) activationRange(n *graph.Node) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	if n.Op == "Relu" {
		return 0, hi, true
	}
	for i, p := range []*float32{&lo, &hi} {
		if v := n.In(i + 1); v != nil {
			c := l.constant(v)
			if c == nil || c.Len() != 1 || c.Type != tensor.Float32 {
				return 0, 0, false
			}
			*p = c.Float32s()[0]
		}
	}
	lo = n.Float("min", lo)
	hi = n.Float("max", hi)
	return lo, hi, !(lo > hi) && lo == lo && hi == hi
}

// covered lists the nodes of a chain: the DequantizeLinear of each operand, n,
// and the rest.
func covered(n *graph.Node, rest []*graph.Node, operands ...*affine) []*graph.Node {
	var nodes []*graph.Node
	for _, a := range operands {
		if a != nil && a.node != nil && a.node.Is("DequantizeLinear") {
			nodes = append(nodes, a.node)
		}
	}
	return append(append(nodes, n), rest...)
}

// products is what the integer forms of Conv, ConvTranspose, Gemm and MatMul
// have in common: constant weights, an int32 bias and multipliers.
type products struct {
	x, w  *affine
	b     *affine // or nil
	bias  []int32 // or nil
	y     *target // nil: the result is float, or the sums
	scale []float32
}

// maxProducts is how many products of bytes an int32 sum holds for certain.
const maxProducts = math.MaxInt32 / (255 * 255)

// weights checks that the operands are 8-bit, x per tensor and w constant and
// per tensor or per output channel, of which there are m along the axis.
func (p *products) weights(axis, m int) bool {
	w := p.w
	if m == 0 || w.consts != nil && w.consts.Len()/m > maxProducts {
		return false
	}
	if !p.x.is8bit() || w.consts == nil || !is8bit(w.dtype) || w.consts.Type != w.dtype {
		return false
	}
	if !w.perTensor() {
		a := w.axis
		if a < 0 {
			a += w.consts.Rank()
		}
		if a != axis || len(w.scale) != m {
			return false
		}
	}
	p.scale = make([]float32, m)
	for i := range p.scale {
		p.scale[i] = p.sumScale(i)
		if p.y != nil {
			p.scale[i] /= p.y.scale[0]
		}
	}
	return true
}

// sumScale is the scale of the sums of output channel i.
func (p *products) sumScale(i int) float32 {
	return p.x.scale[0] * p.w.scale[min(i, len(p.w.scale)-1)]
}

// flat is the weights less their zero point, where channel i has n elements
// from i*n on, or, by columns, every m-th from i on: [channel][element].
func (p *products) flat(m, n int, columns bool) []int16 {
	b, w := p.w.consts.Bytes(), p.w
	out := make([]int16, m*n)
	flip := int16(0)
	if w.dtype == tensor.Int8 {
		flip = 128
	}
	first, step := n, 1
	if columns {
		first, step = 1, m
	}
	for i := range m {
		zero := int16(w.zero[min(i, len(w.zero)-1)]) + flip
		src, dst := b[i*first:], out[i*n:(i+1)*n]
		for j := range dst {
			dst[j] = int16(src[j*step]^byte(flip)) - zero
		}
	}
	return out
}

// setBias takes a dequantized int32 bias of the scale of the sums.
func (p *products) setBias(l *lowerer, v *graph.Value, m int) bool {
	if v == nil {
		return true
	}
	b, ok := l.dequantized(v)
	if !ok || b.consts == nil || b.consts.Type != tensor.Int32 || b.consts.Len() != m || b.consts.Rank() != 1 {
		return false
	}
	for i := range m {
		want := p.sumScale(i)
		got := b.scale[min(i, len(b.scale)-1)]
		if math.Abs(float64(got-want)) > 1e-6*float64(want) || b.zero[min(i, len(b.zero)-1)] != 0 {
			return false
		}
	}
	p.b, p.bias = b, tensor.View[int32](b.consts)
	return true
}

// saturates reports that products are to saturate as on Options.Device.
func (l *lowerer) saturates() bool { return l.s.opts.Device == AVX2Saturating }

// bytesIn is input i of a step as a tensor of the type that was planned.
func bytesIn(in []tensor.Value, i int, a *affine) (*tensor.Tensor, error) {
	t, ok := in[i].(*tensor.Tensor)
	if !ok || t.Type != a.dtype {
		return nil, fmt.Errorf("input %v, want %v", in[i], a.dtype)
	}
	return t, nil
}

// parts runs body on parts of rows, few enough that perRow bytes of each stay
// in the second-level cache, and one or more for each thread.
func (f *frame) parts(rows, perRow int, body func(from, to int)) {
	n := max((192<<10)/max(perRow, 1), 24)
	if t := f.s.workers.threads; t > 1 {
		n = min(n, (rows+t-1)/t)
	}
	n = max((n+5)/6*6, 6)
	f.do((rows+n-1)/n, func(_, part int) { body(part*n, min((part+1)*n, rows)) })
}

// offsets is 0, stride, 2*stride, ... for a matrix of n rows.
func offsets(old []int32, n, stride int) []int32 {
	if len(old) == n && (n < 2 || old[1] == int32(stride)) {
		return old
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i * stride)
	}
	return out
}

package quant

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// quantWeight is a weight in int8 with one scale, or one for each output
// channel.
type quantWeight struct {
	dequantized *graph.Value
	scale       []float32
}

// weights quantizes the weight and bias of n and says how.
func (in *inserter) weights(n *graph.Node, q *quantNode) string {
	w := n.In(q.weight)
	axis := weightAxis(q.axis, in.p.s)
	x := in.params[in.original(n.In(0))]
	qw := in.weight[weightKey{w, axis}]
	if qw == nil {
		qw = in.quantizeWeight(n, w, axis, x.scale, n.In(2))
		in.weight[weightKey{w, axis}] = qw
	}
	n.SetIn(q.weight, qw.dequantized)
	how := "weight int8 per channel"
	if axis < 0 {
		how = "weight int8 per tensor"
	}
	if n.In(2) == nil || n.Is("MatMul") {
		return how
	}
	in.bias(n, w, qw, x.scale)
	return how + ", bias int32"
}

// original is the float value behind a dequantized one.
func (in *inserter) original(d *graph.Value) *graph.Value { return d.Def().In(0).Def().In(0) }

// quantizeWeight is q = round(w / scale), of the whole tensor or of each
// channel, or what round-weights chose. A scale is raised where the bias would
// overflow int32 in units of x_scale*w_scale.
func (in *inserter) quantizeWeight(n *graph.Node, w *graph.Value, axis int, xScale float32, bias *graph.Value) *quantWeight {
	t := w.Const()
	v := t.Float32s()
	limit := weightLimit(in.p.s)
	scale := weightScales(t, axis, limit)
	raised := false
	if bias != nil && bias.Const() != nil && !n.Is("MatMul") {
		for k, x := range bias.Const().Float32s() {
			c := min(k, len(scale)-1)
			if least := float32(math.Abs(float64(x))) / (xScale * (1 << 30)); least > scale[c] {
				scale[c], raised = least, true
			}
		}
	}
	if raised {
		delete(in.c.Rounded, w) // it was for the smaller scale
	}
	if r := in.c.Rounded[w]; r != nil {
		return in.storeWeight(n, w, tensor.Of(t.Shape, r.Values), scale, axis)
	}
	channels, inner := channelsOf(t, axis)
	q := make([]int8, len(v))
	for i, x := range v {
		r := math.RoundToEven(float64(x / scale[i/inner%channels]))
		q[i] = int8(min(max(r, -float64(limit)), float64(limit)))
	}
	return in.storeWeight(n, w, tensor.Of(t.Shape, q), scale, axis)
}

// weightLimit is the largest magnitude of a quantized weight.
func weightLimit(s pass.QuantSettings) float32 {
	if s.ReduceRange {
		return 63
	}
	return 127
}

// weightAxis is the axis along which weights have scales, -1 for one scale.
func weightAxis(axis int, s pass.QuantSettings) int {
	if s.PerTensor {
		return -1
	}
	return axis
}

// channelsOf is the number of channels along axis, and of elements between one
// channel and the next.
func channelsOf(t *tensor.Tensor, axis int) (channels, inner int) {
	if axis < 0 {
		return 1, max(t.Len(), 1)
	}
	return t.Shape[axis], volume(t.Shape[axis+1:])
}

// weightScales is max|w| / limit of each channel or the smaller one, down to
// 0.8 of it, with the least squared error; 1 where all is zero.
func weightScales(t *tensor.Tensor, axis int, limit float32) []float32 {
	v := t.Float32s()
	channels, inner := channelsOf(t, axis)
	scale := make([]float32, channels)
	for i, x := range v {
		c := i / inner % channels
		scale[c] = max(scale[c], float32(math.Abs(float64(x))))
	}
	for c := range scale {
		scale[c] /= limit
	}
	refineScales(v, scale, inner, limit)
	for c := range scale {
		if !(scale[c] > 1e-30) {
			scale[c] = 1
		}
	}
	return scale
}

// refineScales lowers each channel's scale to the candidate of least squared
// error, clipping included.
func refineScales(v, scale []float32, inner int, limit float32) {
	const steps = 10
	channels := len(scale)
	errs := make([][steps + 1]float64, channels)
	for i, x := range v {
		c := i / inner % channels
		for k := range errs[c] {
			s := scale[c] * (1 - 0.02*float32(k))
			if s == 0 {
				continue
			}
			q := min(max(float32(math.RoundToEven(float64(x/s))), -limit), limit)
			d := float64(x - q*s)
			errs[c][k] += d * d
		}
	}
	for c := range scale {
		best := 0
		for k, e := range errs[c] {
			if e < errs[c][best] {
				best = k
			}
		}
		scale[c] *= 1 - 0.02*float32(best)
	}
}

func (in *inserter) storeWeight(n *graph.Node, w *graph.Value, q *tensor.Tensor, scale []float32, axis int) *quantWeight {
	shape := []int{len(scale)}
	var attrs []*graph.Attr
	if axis < 0 {
		shape = nil
	} else if axis != 1 { // the default
		attrs = append(attrs, graph.Int("axis", int64(axis)))
	}
	d := in.node1(n, "DequantizeLinear", "d", []*graph.Value{
		in.g.AddInitializer(w.Name+"_q", &graph.Data{Tensor: q}),
		in.g.AddInitializer("s", &graph.Data{Tensor: tensor.Of(shape, scale)}),
		in.weightZero(shape),
	}, attrs...)
	return &quantWeight{d, scale}
}

// weightZero is the zero point 0 of a symmetric weight. The operator's default
// would be the same, but onnxruntime runs Gemm in integers only if it is given.
func (in *inserter) weightZero(shape []int) *graph.Value {
	key := fmt.Sprint(shape)
	if in.weightZeros[key] == nil {
		in.weightZeros[key] = in.g.AddInitializer("z", &graph.Data{Tensor: tensor.New(tensor.Int8, shape...)})
	}
	return in.weightZeros[key]
}

// bias becomes int32 in units of x_scale * w_scale, plus the mean error of the
// rounded weights.
func (in *inserter) bias(n *graph.Node, w *graph.Value, qw *quantWeight, xScale float32) {
	b := n.In(2)
	t := b.Const()
	v := t.Float32s()
	scale := slices.Clone(qw.scale)
	for i := range scale {
		scale[i] *= xScale
	}
	q := make([]int32, len(v))
	r := in.c.Rounded[w]
	for i, x := range v {
		if r != nil && r.Shift != nil {
			x += r.Shift[i]
		}
		r := math.RoundToEven(float64(x) / float64(scale[min(i, len(scale)-1)]))
		q[i] = int32(min(max(r, -(1<<31-1)), 1<<31-1))
	}
	shape := []int{len(scale)}
	attrs := []*graph.Attr{graph.Int("axis", 0)}
	if len(scale) == 1 && len(v) != 1 {
		shape, attrs = nil, nil
	}
	d := in.node1(n, "DequantizeLinear", "d", []*graph.Value{
		in.g.AddInitializer(b.Name+"_q", &graph.Data{Tensor: tensor.Of([]int{len(q)}, q)}),
		in.g.AddInitializer("s", &graph.Data{Tensor: tensor.Of(shape, scale)}),
	}, attrs...)
	n.SetIn(2, d)
}

package quant

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// quantWeight is a weight in integers with one scale, or one for each output
// channel.
type quantWeight struct {
	values, scales *graph.Value
	scale          []float32
	axis           int
}

// weights quantizes the weight and bias of n and says how.
func (in *inserter) weights(n *graph.Node, q *quantNode) string {
	w := n.In(q.weight)
	qw := in.weight[weightKey{w, q.axis}]
	if qw == nil {
		qw = in.quantizeWeight(n, w, q.axis)
		in.weight[weightKey{w, q.axis}] = qw
	}
	n.SetIn(q.weight, in.dequantizedWeight(qw, n))
	how := fmt.Sprintf("weight %v per channel", qw.values.Const().Type)
	if q.axis < 0 {
		how = fmt.Sprintf("weight %v per tensor", qw.values.Const().Type)
	}
	if n.In(2) == nil || n.Is("MatMul") {
		return how
	}
	if in.p.profile.FloatBias {
		return how + ", bias " + in.floatBias(n, w)
	}
	in.bias(n, w, qw, in.params[in.floats[n.In(0)]].scale)
	return how + ", bias int32"
}

// quantizeWeight is q = round(w / scale), of the whole tensor or of each
// channel, or what round-weights chose. A scale is raised where the bias of a
// node that reads w would overflow int32 in units of x_scale*w_scale.
func (in *inserter) quantizeWeight(n *graph.Node, w *graph.Value, axis int) *quantWeight {
	t := w.Const()
	v := t.Float32s()
	limit := weightLimit(in.p.s)
	rounded, raised := in.c.Rounded[w.Name], false
	var scale []float32
	if rounded != nil {
		scale = slices.Clone(rounded.Scale)
	} else {
		scale = weightScales(t, axis, limit)
	}
	for _, u := range w.Uses() {
		if u.Node == nil || in.p.nodes[u.Node] == nil || u.Node.Is("MatMul") || u.Node.In(2) == nil || u.Node.In(2).Const() == nil {
			continue
		}
		x := u.Node.In(0)
		if f := in.floats[x]; f != nil {
			x = f
		}
		for k, b := range u.Node.In(2).Const().Float32s() {
			c := min(k, len(scale)-1)
			if least := float32(math.Abs(float64(b))) / (in.params[x].scale * (1 << 30)); least > scale[c] {
				scale[c], raised = least, true
			}
		}
	}
	if rounded != nil && !raised {
		return in.storeWeight(w, rounded.Values, scale, axis)
	}
	delete(in.c.Rounded, w.Name) // it was for the smaller scale
	channels, inner := channelsOf(t, axis)
	q := make([]int8, len(v))
	for i, x := range v {
		r := math.RoundToEven(float64(x / scale[i/inner%channels]))
		q[i] = int8(min(max(r, -float64(limit)), float64(limit)))
	}
	return in.storeWeight(w, q, scale, axis)
}

// weightLimit is the largest magnitude of a quantized weight.
func weightLimit(s pass.QuantSettings) float32 {
	switch {
	case s.WeightBits == 4:
		return 7
	case s.ReduceRange:
		return 63
	}
	return 127
}

// weightType is the type that holds quantized weights.
func weightType(s pass.QuantSettings) tensor.DType {
	if s.WeightBits == 4 {
		return tensor.Int4
	}
	return tensor.Int8
}

// channelsOf is the number of channels along axis, and of elements between one
// channel and the next.
func channelsOf(t *tensor.Tensor, axis int) (channels, inner int) {
	if axis < 0 {
		return 1, max(t.Len(), 1)
	}
	return t.Shape[axis], tensor.Strides(t.Shape)[axis]
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

func (in *inserter) storeWeight(w *graph.Value, q []int8, scale []float32, axis int) *quantWeight {
	shape := []int{len(scale)}
	if axis < 0 {
		shape = nil
	}
	t := tensor.Of(w.Const().Shape, q)
	if d := weightType(in.p.s); d != tensor.Int8 {
		t = tensor.FromInts(d, t.Shape, t.Ints())
	}
	return &quantWeight{in.g.AddInitializer(w.Name+"_q", &graph.Data{Tensor: t}),
		in.g.AddInitializer("s", &graph.Data{Tensor: tensor.Of(shape, scale)}), scale, axis}
}

// dequantizedWeight is a DequantizeLinear of its own for each reader. The zero
// point 0 is the operator's default, but onnxruntime runs Gemm in integers only
// if it is given.
func (in *inserter) dequantizedWeight(w *quantWeight, at *graph.Node) *graph.Value {
	var attrs []*graph.Attr
	if w.axis >= 0 && w.axis != 1 { // 1 is the default
		attrs = append(attrs, graph.Int("axis", int64(w.axis)))
	}
	zero := in.constant("z", tensor.New(w.values.Const().Type, w.scales.Const().Shape...))
	return in.node1(at, "DequantizeLinear", "d", []*graph.Value{w.values, w.scales, zero}, attrs...)
}

// floatBias keeps the bias in float32, plus the mean error of the rounded weights.
func (in *inserter) floatBias(n *graph.Node, w *graph.Value) string {
	r := in.c.Rounded[w.Name]
	if r == nil || r.Shift == nil {
		return "float32"
	}
	t := n.In(2).Const()
	v := slices.Clone(t.Float32s())
	for i := range v {
		v[i] += r.Shift[i]
	}
	n.SetIn(2, in.g.AddInitializer(n.In(2).Name, &graph.Data{Tensor: tensor.Of(t.Shape, v)}))
	return "float32, corrected"
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
	r := in.c.Rounded[w.Name]
	for i, x := range v {
		if r != nil && r.Shift != nil {
			x += r.Shift[i]
		}
		r := math.RoundToEven(float64(x) / float64(scale[min(i, len(scale)-1)]))
		q[i] = int32(min(max(r, -(1<<31-1)), 1<<31-1))
	}
	shape := []int{len(scale)}
	attrs := []*graph.Attr{graph.Int("axis", 0)}
	if qw.axis < 0 {
		shape, attrs = nil, nil
	}
	d := in.node1(n, "DequantizeLinear", "d", []*graph.Value{
		in.g.AddInitializer(b.Name+"_q", &graph.Data{Tensor: tensor.Of([]int{len(q)}, q)}),
		in.g.AddInitializer("s", &graph.Data{Tensor: tensor.Of(shape, scale)}),
	}, attrs...)
	n.SetIn(2, d)
}

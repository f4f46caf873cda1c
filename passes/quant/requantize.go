package quant

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// moved is the operators past which onnxruntime's optimizer
// QDQPropagationTransformer moves QuantizeLinear and DequantizeLinear.
var moved = []string{"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice"}

// requantized is the DequantizeLinear before n if onnxruntime rounds the float
// weight of n to int8, with one scale, when it loads the model, else nil. Its
// optimizer WeightBiasQuantization does so to a Conv, ConvTranspose or Gemm that
// reads a DequantizeLinear with one scale and whose result only a
// QuantizeLinear reads, maybe behind Relu and Clip, unless its bias is not a
// vector or not constant.
func requantized(n *graph.Node) *graph.Node {
	if !n.Is("Conv", "ConvTranspose", "Gemm") || !folds(n.In(1), 8) || n.In(2) != nil && !folds(n.In(2), 8) {
		return nil
	}
	if b := n.In(2).Const(); b != nil && b.Rank() != 1 {
		return nil
	}
	d := def(n.In(0))
	for d != nil && d.Is(moved...) {
		d = def(d.In(0))
	}
	if d == nil || !d.Is("DequantizeLinear") || d.In(1).Const() == nil || d.In(1).Const().Len() != 1 {
		return nil
	}
	for v := n.Out(0); ; {
		next := onlyReader(v)
		switch {
		case next == nil:
			return nil
		case next.Is("QuantizeLinear"):
			return d
		case !next.Is("Relu", "Clip") && !next.Is(moved...) || next.In(0) != v:
			return nil
		}
		v = next.Out(0)
	}
}

// onlyReader is the single node that reads v, which may be an output, too.
func onlyReader(v *graph.Value) *graph.Node {
	var only *graph.Node
	for _, u := range v.Uses() {
		switch {
		case u.Node != nil && only != nil:
			return nil
		case u.Node != nil:
			only = u.Node
		}
	}
	return only
}

// folds reports that onnxruntime makes a constant of v: it computes what
// depends on constants alone, but no DequantizeLinear.
func folds(v *graph.Value, depth int) bool {
	if v.Const() != nil {
		return true
	}
	d := def(v)
	if d == nil || depth == 0 || d.Is("DequantizeLinear") {
		return false
	}
	for _, in := range d.Inputs() {
		if in != nil && !folds(in, depth-1) {
			return false
		}
	}
	return true
}

// spareFloats gives the DequantizeLinear before layers that stay float a scale
// for each channel, all equal, where the target would else quantize their
// weights itself.
func (in *inserter) spareFloats() {
	for n := range in.g.Nodes() {
		d := requantized(n)
		if d == nil || !in.c.Allow() {
			continue
		}
		axis, size := in.channels(d)
		if size == 0 {
			in.c.Warn("onnxruntime will round the float weight of %s to 8 bits: DequantizeLinear with a scale for each channel, which keeps it from that, needs opset %d and a known dimension", n.Title(), PerChannelOpset)
			continue
		}
		a := in.params[in.floats[d.Out(0)]]
		scales, zeros := make([]float32, size), make([]int64, size)
		for i := range scales {
			scales[i], zeros[i] = a.scale, int64(a.zero)
		}
		d.SetIn(1, in.constant("s", tensor.Vector(scales...)))
		d.SetIn(2, in.constant("z", tensor.FromInts(in.dtype, []int{size}, zeros)))
		if axis != 1 {
			d.SetAttr(graph.Int("axis", int64(axis)))
		}
		in.c.Changed(n, "reads a scale for each channel, all equal, so that onnxruntime leaves its float weight alone")
	}
}

// channels is an axis of the result of d with more than one element, the
// channels if possible, and its size; 0 if there is none.
func (in *inserter) channels(d *graph.Node) (axis, size int) {
	if in.p.m.Opset("") < PerChannelOpset {
		return 0, 0
	}
	t := in.p.shapes.Type(in.floats[d.Out(0)])
	order := []int{1}
	for k := range t.Shape {
		order = append(order, k)
	}
	for _, k := range order {
		if k >= len(t.Shape) {
			continue
		}
		if n, ok := t.Shape[k].Const(); ok && n > 1 {
			return k, int(n)
		}
	}
	return 0, 0
}

// requantizedWhy is what lint says of a node that a target quantizes itself.
func requantizedWhy(d *graph.Node) string {
	return fmt.Sprintf("its float weight is rounded to int8 with one scale when the model is loaded; a scale for each channel, all equal, in the DequantizeLinear of %s prevents that", d.In(0).Name)
}

package encode

import (
	"math"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// RoundBiases rounds the biases of linear layers to multiples of one power of
// two, the smallest for which all fit int8, so that they are written in a byte
// each and pack as small integers.
var RoundBiases = pass.Pass{
	Name:   "round-biases",
	Doc:    "round biases to multiples of one power of two that fit 8 bits",
	Effect: pass.Lossy,
	Run:    roundBiases,
}

func roundBiases(c *pass.Context, m *graph.Model) error {
	type bias struct {
		n *graph.Node
		v *graph.Value
	}
	var all []bias
	most := 0.0
	seen := map[*graph.Value]bool{}
	for n := range m.Graph.All() {
		r, err := op.Resolve(n, m.Opset)
		if err != nil || r.Quant.Kind != op.QuantInteger || r.Quant.Bias == 0 {
			continue
		}
		v := n.In(r.Quant.Bias)
		if v == nil || v.Const() == nil || v.Const().Type != tensor.Float32 || seen[v] {
			continue
		}
		seen[v] = true
		all = append(all, bias{n, v})
		for _, x := range v.Const().Floats() {
			most = max(most, math.Abs(x))
		}
	}
	if most == 0 || math.IsInf(most, 0) || math.IsNaN(most) {
		return nil
	}
	_, exp := math.Frexp(most / 127.5)
	step := math.Ldexp(1, exp)
	if math.Round(most/(step/2)) <= 127 {
		step /= 2
	}
	for _, b := range all {
		t := b.v.Const()
		f := t.Floats()
		moved, same := 0.0, true
		for i, x := range f {
			y := math.Round(x/step)*step + 0 // no negative zero
			moved, same = max(moved, math.Abs(y-x)), same && math.Float64bits(x) == math.Float64bits(y)
			f[i] = y
		}
		if same {
			continue
		}
		if !c.Allow() {
			return nil
		}
		b.v.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, t.Shape, f), Doc: b.v.Data.Doc, Metadata: b.v.Data.Metadata}
		c.Changed(b.n, "bias rounded to multiples of %g, by at most %.2g", step, moved)
	}
	return nil
}

// Package fuse holds the passes that merge linear operators.
package fuse

import (
	"fmt"
	"math"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// BatchNorm folds an inference BatchNormalization into the convolution or Gemm
// before it: with s = gamma/sqrt(var+eps), W' = W*s over the output channels
// and b' = (b-mean)*s + beta.
var BatchNorm = pass.Pass{
	Name:   "fuse-batchnorm",
	Group:  "simplify",
	Doc:    "fold BatchNormalization into the Conv, ConvTranspose or Gemm before it",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		for n := range m.Graph.All() {
			if !n.Is("BatchNormalization") {
				continue
			}
			if reason := fuseBatchNorm(c, m, n); reason != "" {
				c.Kept(n, "%s", reason)
			}
		}
		return nil
	},
}

// fuseBatchNorm returns why n was not fused.
func fuseBatchNorm(c *pass.Context, m *graph.Model, n *graph.Node) string {
	if n.Int("training_mode", 0) != 0 || len(n.Outputs()) > 1 {
		return "training mode"
	}
	x := n.In(0)
	lin, reason := linearBefore(m, x)
	if reason != "" {
		return reason
	}
	params := make([][]float64, 4) // gamma, beta, mean, var
	for i := range params {
		t := n.In(i + 1).Const()
		if t == nil || t.Len() != lin.channels {
			return "parameters are not constant"
		}
		params[i] = t.Floats()
	}
	if !c.Allow() {
		return ""
	}
	eps := float64(n.Float("epsilon", 1e-5))
	scale, shift := make([]float64, lin.channels), make([]float64, lin.channels)
	for i := range scale {
		scale[i] = params[0][i] / math.Sqrt(params[3][i]+eps)
		shift[i] = params[1][i] - params[2][i]*scale[i]
	}
	lin.apply(scale, shift)
	if !n.Out(0).Supersede(x) {
		return "its output cannot be renamed"
	}
	c.Changed(n, "folded into %s", lin.node.Title())
	n.Graph().Remove(n)
	return ""
}

// linear is a Conv, ConvTranspose or Gemm with constant weights that nothing
// else uses.
type linear struct {
	node     *graph.Node
	axis     int // of the output channels in the weight
	groups   int // ConvTranspose: the axis holds channels/groups
	channels int
}

// linearBefore is the linear node that computes v for one reader only, or why
// there is none.
func linearBefore(m *graph.Model, v *graph.Value) (*linear, string) {
	n := v.Def()
	if n == nil || !n.Is("Conv", "ConvTranspose", "Gemm") {
		return nil, "no convolution or Gemm before it"
	}
	l := &linear{node: n, groups: 1}
	w := n.In(1)
	if w.Const() == nil || !w.Const().Type.IsFloat() {
		return nil, fmt.Sprintf("weight of %s is not constant", n.Title())
	}
	if v.Only() == nil {
		return nil, fmt.Sprintf("result of %s has other readers", n.Title())
	}
	if w.Only() == nil || n.In(2) != nil && (n.In(2).Const() == nil || n.In(2).Only() == nil) {
		return nil, fmt.Sprintf("weight or bias of %s is shared or not constant", n.Title())
	}
	shape := w.Const().Shape
	switch {
	case n.Is("Gemm"):
		if n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 {
			return nil, fmt.Sprintf("%s has alpha or beta", n.Title())
		}
		if n.Int("transB", 0) == 0 {
			l.axis = 1
		}
	case n.Is("ConvTranspose"):
		l.axis, l.groups = 1, int(n.Int("group", 1))
	}
	l.channels = shape[l.axis] * l.groups
	if b := n.In(2); b != nil && b.Const().Len() != l.channels {
		return nil, fmt.Sprintf("bias of %s is not one value a channel", n.Title())
	}
	return l, ""
}

// apply makes the node compute scale*y + shift for each output channel.
func (l *linear) apply(scale, shift []float64) {
	g, w := l.node.Graph(), l.node.In(1)
	t := w.Const()
	v := t.Floats()
	inner, per := 1, t.Shape[l.axis]
	for _, d := range t.Shape[l.axis+1:] {
		inner *= d
	}
	inGroup := 0
	if l.groups > 1 {
		inGroup = len(v) / l.groups
	}
	for i := range v {
		ch := i / inner % per
		if l.groups > 1 {
			ch += i / inGroup * per
		}
		v[i] *= scale[ch]
	}
	w.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, t.Shape, v), Doc: w.Data.Doc, Metadata: w.Data.Metadata}
	b := make([]float64, l.channels)
	if old := l.node.In(2); old != nil {
		copy(b, old.Const().Floats())
	}
	for i := range b {
		b[i] = b[i]*scale[i] + shift[i]
	}
	bias := tensor.FromFloats(t.Type, []int{l.channels}, b)
	if old := l.node.In(2); old != nil {
		old.Data = &graph.Data{Tensor: bias, Doc: old.Data.Doc, Metadata: old.Data.Metadata}
		return
	}
	base := w.Name + ".bias"
	l.node.SetIn(2, g.AddInitializer(base, &graph.Data{Tensor: bias}))
}

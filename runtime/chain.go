package runtime

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// chain is a Conv, Gemm or MatMul with what one step computes after it:
// act(root*scale + shift + residual).
type chain struct {
	root     *graph.Node
	affine   []channelAffine // in order of execution
	residual *graph.Value
	act      kernel.Function
	nodes    []*graph.Node
}

// channelAffine is x*scale + shift for each channel, or one number for all.
type channelAffine struct{ scale, shift []float32 }

// chain follows the inputs of n back to a root, nil if there is none.
func (l *lowerer) chain(n *graph.Node, isRoot func(*graph.Node) bool) *chain {
	c := &chain{}
	v, uses := n.Out(0), 0 // the value to go on from; 0 uses: n's own output
	if f := l.function(n); f != nil {
		c.act, v, uses = f.Function, f.x, f.uses
		c.nodes = append(c.nodes, f.nodes...)
		slices.Reverse(c.nodes)
	}
	for range 8 {
		if v == nil || v.Def() == nil {
			return nil
		}
		d := v.Def()
		if uses > 0 && !l.hiddenIn(v, uses) || d.Graph() != l.graph {
			return nil
		}
		c.nodes = append(c.nodes, d)
		if isRoot(d) {
			c.root = d
			slices.Reverse(c.nodes)
			slices.Reverse(c.affine)
			return c
		}
		if a, x := l.channelAffine(d); x != nil && c.residual == nil {
			c.affine = append(c.affine, a)
			v, uses = x, 1
			continue
		}
		if !d.Is("Add") || c.residual != nil || len(c.affine) > 0 {
			return nil
		}
		// The operand that leads to a root is the chain, the other the residual.
		next := -1
		for i := range 2 {
			if x := d.In(i); x != d.In(1-i) && l.leads(x, isRoot) && (next < 0 || later(x, d.In(next))) {
				next = i
			}
		}
		if next < 0 {
			return nil
		}
		c.residual = d.In(1 - next)
		v, uses = d.In(next), 1
	}
	return nil
}

// later reports that a is computed after b.
func later(a, b *graph.Value) bool {
	for n := b.Def().Next(); n != nil; n = n.Next() {
		if n == a.Def() {
			return true
		}
	}
	return false
}

// leads reports that v is the hidden result of a root, possibly scaled.
func (l *lowerer) leads(v *graph.Value, isRoot func(*graph.Node) bool) bool {
	for range 4 {
		if !l.hidden(v) {
			return false
		}
		if isRoot(v.Def()) {
			return true
		}
		_, x := l.channelAffine(v.Def())
		if x == nil {
			return false
		}
		v = x
	}
	return false
}

// channelAffine reads a BatchNormalization, or an Add or Mul with a constant
// for each channel (axis 1 of at least three), as x*scale + shift; x is nil if
// n is neither.
func (l *lowerer) channelAffine(n *graph.Node) (a channelAffine, x *graph.Value) {
	switch {
	case n.Is("BatchNormalization"):
		attrs, ok := l.attrs(n)
		if !ok || attrs.Int("training_mode") != 0 || len(n.Outputs()) > 1 || attrs.Since < 7 || attrs.Has("spatial") && attrs.Int("spatial") == 0 {
			return a, nil
		}
		var p [4][]float32
		for i := range p {
			c := l.constant(n.In(i + 1))
			if c == nil || c.Type != tensor.Float32 || c.Rank() != 1 || i > 0 && c.Len() != len(p[0]) {
				return a, nil
			}
			p[i] = c.Float32s()
		}
		eps := attrs.Float("epsilon")
		a.scale, a.shift = make([]float32, len(p[0])), make([]float32, len(p[0]))
		for i := range a.scale {
			s := float64(p[0][i]) / math.Sqrt(float64(p[3][i])+eps)
			a.scale[i] = float32(s)
			a.shift[i] = float32(float64(p[1][i]) - float64(p[2][i])*s)
		}
		return a, n.In(0)
	case n.Is("Add", "Mul") && l.opset("") >= 7:
		for i := range 2 {
			rank := l.float32Rank(n.In(i))
			v := l.perChannel(n.In(1-i), rank)
			if v == nil || rank < 3 || l.constant(n.In(i)) != nil {
				continue
			}
			if n.Op == "Add" {
				return channelAffine{shift: v}, n.In(i)
			}
			return channelAffine{scale: v}, n.In(i)
		}
	}
	return a, nil
}

// perChannel is a constant that has one number for each index of axis 1 of a
// tensor of that rank, or one in all; nil for any other value.
func (l *lowerer) perChannel(v *graph.Value, rank int) []float32 {
	c := l.constant(v)
	if c == nil || c.Type != tensor.Float32 || c.Rank() > rank || c.Len() == 0 {
		return nil
	}
	for i, d := range c.Shape {
		if d != 1 && rank-c.Rank()+i != 1 {
			return nil
		}
	}
	return c.Float32s()
}

// fold is the scale, nil for 1, and the shift, nil for 0, of m channels with
// the given bias.
func (c *chain) fold(m int, bias *tensor.Tensor) (scale, shift []float32) {
	if bias != nil {
		shift = bias.Float32s()
	}
	if len(c.affine) == 0 {
		return nil, shift
	}
	scale = make([]float32, m)
	sum := make([]float32, m)
	at := func(v []float32, i int, none float32) float32 {
		if v == nil {
			return none
		}
		return v[min(i, len(v)-1)]
	}
	for i := range m {
		s, b := float32(1), at(shift, i, 0)
		for _, a := range c.affine {
			k := at(a.scale, i, 1)
			s, b = s*k, b*k+at(a.shift, i, 0)
		}
		scale[i], sum[i] = s, b
	}
	return scale, sum
}

// clamp is the activation as bounds, if it is that, or as a function.
func (c *chain) clamp() (clamp bool, lo, hi float32, act kernel.Function) {
	switch f := c.act; {
	case f.Kind == kernel.Relu:
		return true, 0, float32(math.Inf(1)), act
	case f.Kind == kernel.Line && f.A == 1 && f.B == 0:
		return true, f.Lo, f.Hi, act
	default:
		return false, 0, 0, f
	}
}

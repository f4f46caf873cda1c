package fuse

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/rewrite"
)

// linear is a Conv, ConvTranspose, Gemm or MatMul with constant weights that
// nothing else uses.
type linear struct {
	node     *graph.Node
	add      *graph.Node // the Add behind a MatMul that is its bias, or nil
	axis     int         // of the output channels in the weight
	groups   int
	channels int // of the output
	at       int // axis of the output channels in the result
}

// linearAt is the linear node n, or why it is none. Its bias must be constant
// and its own.
func linearAt(e *rewrite.Editor, n *graph.Node) (*linear, string) {
	if n == nil || !n.Is("Conv", "ConvTranspose", "Gemm", "MatMul") {
		return nil, "no convolution, Gemm or MatMul before it"
	}
	l := &linear{node: n, groups: 1, at: 1}
	w := n.In(1)
	if w.Const() == nil || !w.Const().Type.IsFloat() {
		return nil, fmt.Sprintf("weight of %s is not constant", n.Title())
	}
	if w.Only() == nil || n.In(2) != nil && (n.In(2).Const() == nil || n.In(2).Only() == nil) {
		return nil, fmt.Sprintf("weight or bias of %s is shared or not constant", n.Title())
	}
	shape := w.Const().Shape
	switch n.Op {
	case "Gemm":
		if n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 {
			return nil, fmt.Sprintf("%s has alpha or beta", n.Title())
		}
		if n.Int("transB", 0) == 0 {
			l.axis = 1
		}
	case "ConvTranspose":
		l.axis, l.groups = 1, int(n.Int("group", 1))
	case "Conv":
		l.groups = int(n.Int("group", 1))
	case "MatMul":
		l.axis, l.at = 1, e.Rank(n.Out(0))-1
		if len(shape) != 2 || l.at < 0 {
			return nil, fmt.Sprintf("weight of %s is no matrix", n.Title())
		}
	}
	l.channels = shape[l.axis]
	if n.Is("ConvTranspose") {
		l.channels *= l.groups
	}
	if b := n.In(2); b != nil && b.Const().Len() != l.channels {
		return nil, fmt.Sprintf("bias of %s is not one value a channel", n.Title())
	}
	return l, ""
}

// linearBefore is the linear node that computes v for one reader only, or why
// there is none. An Add of a constant behind a MatMul is part of it.
func linearBefore(e *rewrite.Editor, v *graph.Value) (*linear, string) {
	n := v.Def()
	if n == nil {
		return linearAt(e, n)
	}
	if v.Only() == nil {
		return nil, fmt.Sprintf("result of %s has other readers", n.Title())
	}
	if !n.Is("Add") {
		return linearAt(e, n)
	}
	x, k, _ := operand(n)
	if k == nil || k.Only() == nil || x.Only() == nil || x.Def() == nil || !x.Def().Is("MatMul") {
		return nil, "no convolution, Gemm or MatMul before it"
	}
	l, why := linearAt(e, x.Def())
	if l == nil {
		return nil, why
	}
	if along(k.Const(), l.at+1, l.at, l.channels) == nil {
		return nil, fmt.Sprintf("constant %s is not one value for each output channel", k.Name)
	}
	l.add = n
	return l, ""
}

// along is one value for each of n places of an axis, of a constant that is
// broadcast to rank and varies along no other axis; nil otherwise.
func along(t *tensor.Tensor, rank, axis, n int) []float64 {
	if t == nil || !t.Type.IsFloat() || t.Rank() > rank {
		return nil
	}
	if t.Len() != 1 {
		at := axis - (rank - t.Rank()) // the axis inside t
		if at < 0 || t.Len() != n || t.Shape[at] != n {
			return nil
		}
	}
	v, out := t.Floats(), make([]float64, n)
	for i := range out {
		out[i] = v[min(i, len(v)-1)]
	}
	return out
}

// scaleOut makes the node compute scale*y + shift for each output channel; a
// nil scale is 1, a nil shift 0.
func (l *linear) scaleOut(scale, shift []float64) {
	if scale != nil {
		l.mapWeight(func(out, _ int, w float64) float64 { return w * scale[out] })
	}
	l.mapBias(func(out int, b float64) float64 {
		if scale != nil {
			b *= scale[out]
		}
		if shift != nil {
			b += shift[out]
		}
		return b
	}, shift != nil)
}

// scaleIn makes the node compute what it does for scale*x + shift, for each
// input channel.
func (l *linear) scaleIn(scale, shift []float64) {
	if shift != nil {
		gain := make([]float64, l.channels)
		l.eachWeight(func(_, out, in int, w float64) { gain[out] += w * shift[in] })
		l.mapBias(func(out int, b float64) float64 { return b + gain[out] }, true)
	}
	if scale != nil {
		l.mapWeight(func(_, in int, w float64) float64 { return w * scale[in] })
	}
}

// inputs is the number of input channels.
func (l *linear) inputs() int {
	s := l.node.In(1).Const().Shape
	switch l.node.Op {
	case "Conv":
		return s[1] * l.groups
	case "ConvTranspose":
		return s[0]
	}
	return s[1-l.axis]
}

// inputAxis is the axis of the input channels in x.
func (l *linear) inputAxis(rank int) int {
	if l.node.Is("MatMul") {
		return rank - 1
	}
	return 1
}

// eachWeight visits the elements with their output and input channel.
func (l *linear) eachWeight(f func(i, out, in int, w float64)) {
	t := l.node.In(1).Const()
	value := reader(t)
	inner := 1
	for _, d := range t.Shape[2:] {
		inner *= d
	}
	rows, cols, i := t.Shape[0], t.Shape[1], 0
	for a := range rows {
		for b := range cols {
			out, in := a, b
			switch {
			case l.node.Is("Conv"):
				in = b + a/(rows/l.groups)*cols
			case l.node.Is("ConvTranspose"):
				out, in = b+a/(rows/l.groups)*cols, a
			case l.axis == 1:
				out, in = b, a
			}
			for range inner {
				f(i, out, in, value(i))
				i++
			}
		}
	}
}

// reader gives the elements of t, of float32 without a copy.
func reader(t *tensor.Tensor) func(i int) float64 {
	if t.Type == tensor.Float32 {
		v := tensor.View[float32](t)
		return func(i int) float64 { return float64(v[i]) }
	}
	v := t.Floats()
	return func(i int) float64 { return v[i] }
}

func (l *linear) mapWeight(f func(out, in int, w float64) float64) {
	w := l.node.In(1)
	t := w.Const()
	var mapped *tensor.Tensor
	if t.Type == tensor.Float32 {
		mapped = tensor.New(t.Type, t.Shape...)
		v := tensor.View[float32](mapped)
		l.eachWeight(func(i, out, in int, x float64) { v[i] = float32(f(out, in, x)) })
	} else {
		v := make([]float64, t.Len())
		l.eachWeight(func(i, out, in int, x float64) { v[i] = f(out, in, x) })
		mapped = tensor.FromFloats(t.Type, t.Shape, v)
	}
	w.Data = &graph.Data{Tensor: mapped, Doc: w.Data.Doc, Metadata: w.Data.Metadata}
}

// mapBias changes the bias, and makes one of zeros before where there is none
// and one is wanted.
func (l *linear) mapBias(f func(out int, b float64) float64, want bool) {
	old := l.node.In(2)
	if l.add != nil {
		_, old, _ = operand(l.add)
	}
	if old == nil && !want {
		return
	}
	b := make([]float64, l.channels)
	shape, typ := []int{l.channels}, l.node.In(1).Const().Type
	if old != nil {
		t := old.Const()
		typ = t.Type
		v := t.Floats()
		for i := range b {
			b[i] = v[min(i, len(v)-1)]
		}
		if t.Len() == l.channels {
			shape = slices.Clone(t.Shape)
		}
	}
	for i := range b {
		b[i] = f(i, b[i])
	}
	t := tensor.FromFloats(typ, shape, b)
	if old != nil {
		old.Data = &graph.Data{Tensor: t, Doc: old.Data.Doc, Metadata: old.Data.Metadata}
		return
	}
	l.node.SetIn(2, l.node.Graph().AddInitializer(l.node.In(1).Name+".bias", &graph.Data{Tensor: t}))
}

// takesShift reports that the node has, or can be given, a bias.
func (l *linear) takesShift() bool { return !l.node.Is("MatMul") || l.add != nil }

// unpadded reports a convolution that reads no zeros beyond its input, so that
// a constant can be taken out of the input.
func (l *linear) unpadded() bool {
	if l.node.Is("Gemm", "MatMul") {
		return true
	}
	auto := l.node.Str("auto_pad", "NOTSET")
	pads := l.node.Ints("pads")
	return l.node.Is("Conv") && (auto == "VALID" || auto == "NOTSET" && (len(pads) == 0 || slices.Max(pads) == 0 && slices.Min(pads) == 0))
}

func finite(lists ...[]float64) bool {
	for _, l := range lists {
		for _, x := range l {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return false
			}
		}
	}
	return true
}

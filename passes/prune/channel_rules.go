package prune

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
)

// rule carries units over a node. It returns false for a form that it does not
// know, which freezes the units of all inputs.
type rule func(c *channels, n *graph.Node, a *op.Attrs) bool

// rules is the operators that units pass. Elementwise operators have one rule
// of their own.
var rules = map[string]rule{
	"Conv": conv, "ConvTranspose": convTranspose, "Gemm": gemm, "MatMul": matMul,
	"BatchNormalization": perChannel, "InstanceNormalization": perChannel, "PRelu": elementwise,
	"MaxPool": pool, "AveragePool": pool, "LpPool": pool,
	"GlobalAveragePool": pool, "GlobalMaxPool": pool, "GlobalLpPool": pool,
	"Identity": same, "Dropout": same, "Cast": same,
	"Softmax": along, "LogSoftmax": along, "LayerNormalization": along,
	"ReduceMean": reduce, "ReduceSum": reduce, "ReduceMax": reduce, "ReduceMin": reduce, "ReduceL2": reduce,
	"Flatten": reshape, "Reshape": reshape, "Squeeze": reshape, "Unsqueeze": reshape,
	"Transpose": transpose, "Concat": concat, "Split": split, "Gather": gather, "Slice": slice, "Pad": pad,
}

// conv: W[O, I/group, ...]. With groups, channel i of every group goes with
// channel i of the others, so that groups stay equal; a depthwise convolution
// ties its outputs to the input that they come from.
func conv(c *channels, n *graph.Node, a *op.Attrs) bool {
	w := n.In(1).Const()
	x := c.labels[n.In(0)]
	if w == nil || w.Rank() < 3 {
		return false
	}
	c.freezeBut(x, 1)
	in, group := x.at(1), a.Int("group")
	out := c.fresh(n, w.Shape[0])
	switch {
	case group == 1:
		c.param(n, n.In(1), 1, in, reads)
	case w.Shape[1] == 1: // depthwise
		if in = c.merge(in, in); in == nil {
			c.freezeUnits(out)
			break
		}
		each := len(out) / group
		for i, u := range out {
			c.join(in[i/each], u)
		}
		c.fixes = append(c.fixes, func(p pick) { n.SetAttr(graph.Int("group", int64(len(p(in))))) })
	default:
		c.tieGroups(in, group)
		c.tieGroups(out, group)
		if in != nil {
			c.param(n, n.In(1), 1, in[:w.Shape[1]], follows)
		}
	}
	c.param(n, n.In(1), 0, out, makes)
	c.param(n, n.In(2), 0, biasUnits(n, 2, out), shifts)
	l := make(axes, w.Rank())
	l[1] = out
	c.set(n.Out(0), l)
	return true
}

// biasUnits is units, nil if the optional input is absent.
func biasUnits(n *graph.Node, i int, units []int) []int {
	if n.In(i) == nil {
		return nil
	}
	return units
}

// tieGroups merges the units at equal places of equal parts.
func (c *channels) tieGroups(units []int, group int) {
	each := len(units) / group
	for i := each; i < len(units); i++ {
		c.join(units[i%each], units[i])
	}
}

// convTranspose: W[I, O, ...] without groups.
func convTranspose(c *channels, n *graph.Node, a *op.Attrs) bool {
	w := n.In(1).Const()
	x := c.labels[n.In(0)]
	if w == nil || w.Rank() < 3 || a.Int("group") != 1 {
		return false
	}
	c.freezeBut(x, 1)
	out := c.fresh(n, w.Shape[1])
	c.param(n, n.In(1), 0, x.at(1), reads)
	c.param(n, n.In(1), 1, out, makes)
	c.param(n, n.In(2), 0, biasUnits(n, 2, out), shifts)
	l := make(axes, w.Rank())
	l[1] = out
	c.set(n.Out(0), l)
	return true
}

func gemm(c *channels, n *graph.Node, a *op.Attrs) bool {
	w := n.In(1).Const()
	x := c.labels[n.In(0)]
	if w == nil || w.Rank() != 2 || a.Int("transA") != 0 {
		return false
	}
	rows := 1
	if a.Int("transB") != 0 {
		rows = 0
	}
	c.freezeBut(x, 1)
	out := c.fresh(n, w.Shape[rows])
	c.param(n, n.In(1), 1-rows, x.at(1), reads)
	c.param(n, n.In(1), rows, out, makes)
	if b := n.In(2); b != nil {
		t := b.Const()
		if t == nil {
			c.freeze(c.labels[b])
			c.freezeUnits(out)
		} else if k := t.Rank() - 1; k >= 0 && t.Shape[k] == len(out) {
			c.param(n, b, k, out, shifts)
		} else if t.Len() != 1 {
			c.freezeUnits(out)
		}
	}
	c.set(n.Out(0), axes{nil, out})
	return true
}

// matMul: a constant right side makes units; of two activations, the axes that
// are summed over go together, and so do those of the batch.
func matMul(c *channels, n *graph.Node, a *op.Attrs) bool {
	x, ok := c.shapeOf(n.In(0))
	y, ok2 := c.shapeOf(n.In(1))
	if !ok || !ok2 || len(x) < 2 || len(y) < 2 || n.In(0).Const() != nil {
		return false
	}
	lx, ly := c.labels[n.In(0)], c.labels[n.In(1)]
	rank := max(len(x), len(y))
	l := make(axes, rank)
	l[rank-2] = lx.at(len(x) - 2)
	if n.In(1).Const() != nil {
		if len(y) != 2 {
			return false
		}
		c.freezeBut(lx, len(x)-2, len(x)-1)
		out := c.fresh(n, y[1])
		c.param(n, n.In(1), 0, lx.at(len(x)-1), reads)
		c.param(n, n.In(1), 1, out, makes)
		l[rank-1] = out
		c.set(n.Out(0), l)
		return true
	}
	if len(x) != len(y) {
		return false
	}
	for i := range rank - 2 {
		l[i] = c.merge(lx.at(i), ly.at(i))
	}
	c.merge(lx.at(rank-1), ly.at(rank-2))
	l[rank-1] = ly.at(rank - 1)
	c.set(n.Out(0), l)
	return true
}

// elementwise: equal sizes go together, sizes of 1 are broadcast.
func elementwise(c *channels, n *graph.Node, a *op.Attrs) bool {
	out, ok := c.shapeOf(n.Out(0))
	if !ok {
		return false
	}
	l := make(axes, len(out))
	for k := range out {
		var units []int
		var plain bool // an operand has the full size, but no units
		var consts []*graph.Value
		for _, v := range n.Inputs() {
			s, ok := c.shapeOf(v)
			if v == nil {
				continue
			}
			if !ok {
				return false
			}
			i := k - len(out) + len(s)
			if i < 0 || s[i] == 1 && out[k] != 1 {
				continue
			}
			switch u := c.labels[v].at(i); {
			case v.Const() != nil:
				consts = append(consts, v)
			case u == nil:
				plain = true
			case units == nil:
				units = u
			default:
				units = c.merge(units, u)
				plain = plain || units == nil
			}
		}
		if plain {
			c.freezeUnits(units)
			continue
		}
		l[k] = units
		for _, v := range consts {
			c.param(n, v, k-len(out)+v.Const().Rank(), units, shifts)
		}
	}
	c.set(n.Out(0), l)
	return true
}

// perChannel: statistics for each index of axis 1.
func perChannel(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if len(n.Outputs()) != 1 {
		return false
	}
	c.freezeBut(l, 1)
	for i := 1; i < len(n.Inputs()); i++ {
		c.param(n, n.In(i), 0, l.at(1), shifts)
	}
	if l != nil {
		c.set(n.Out(0), axes(slices.Concat([][]int{nil, l.at(1)}, make([][]int, len(l)-2))))
	}
	return true
}

// pool: every channel by itself.
func pool(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if len(n.Outputs()) != 1 {
		return false
	}
	c.freezeBut(l, 0, 1)
	if len(l) > 2 {
		c.set(n.Out(0), axes(slices.Concat(l[:2], make([][]int, len(l)-2))))
	}
	return true
}

func same(c *channels, n *graph.Node, a *op.Attrs) bool {
	c.set(n.Out(0), c.labels[n.In(0)])
	return true
}

// along: the units of the normalized axes count for each other.
func along(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := slices.Clone(c.labels[n.In(0)])
	axis, ok := op.Axis(a.Int("axis"), max(len(l), 1))
	if l == nil {
		return true
	}
	if !ok || n.Is("Softmax", "LogSoftmax") && c.m.Opset("") < 13 {
		return false
	}
	last := axis + 1
	if n.Is("LayerNormalization") {
		last = len(l)
	}
	for i := axis; i < last; i++ {
		c.freezeUnits(l[i])
		l[i] = nil
	}
	c.set(n.Out(0), l)
	return true
}

// reduce: axes that stay keep their units.
func reduce(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	in, ok := c.shapeOf(n.In(0))
	if l == nil {
		return true
	}
	list := a.Ints("axes")
	if n.In(1) != nil {
		t := n.In(1).Const()
		if t == nil {
			return false
		}
		list = nil
		for _, x := range t.Ints() {
			list = append(list, int(x))
		}
	}
	if !ok || len(list) == 0 {
		return false
	}
	var out axes
	gone := map[int]bool{}
	for _, x := range list {
		gone[(x+len(in))%len(in)] = true
	}
	for i, u := range l {
		switch {
		case !gone[i]:
			out = append(out, u)
		case a.Int("keepdims") != 0:
			out = append(out, nil)
			c.freezeUnits(u)
		default:
			c.freezeUnits(u)
		}
	}
	c.set(n.Out(0), out)
	return true
}

func transpose(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if l == nil {
		return true
	}
	perm := a.Ints("perm")
	out := make(axes, len(l))
	for i := range out {
		from := len(l) - 1 - i
		if i < len(perm) {
			from = perm[i]
		}
		out[i] = l[from]
	}
	c.set(n.Out(0), out)
	return true
}

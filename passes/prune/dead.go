package prune

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// DeadUnits removes channels and neurons that no longer count. One whose
// weights are all zero has a constant value, which moves on into the biases
// that read it; one that only zero weights read goes, with everything that
// computes it.
var DeadUnits = pass.Pass{
	Name:   "dead-units",
	Doc:    "remove channels and neurons that only zero weights make or read, folding their constants on",
	Effect: pass.Close,
	Run:    deadUnits,
}

func deadUnits(c *pass.Context, m *graph.Model) error {
	for {
		ch := analyze(m, c.Shapes())
		if !foldConstants(c, ch) {
			return nil
		}
		ch = analyze(m, c.Shapes()) // biases may be new
		dead := ch.unread()
		gone := map[*graph.Node]int{}
		for _, l := range ch.layers {
			for _, u := range l.units {
				if dead[ch.root(u)] {
					gone[l.node]++
				}
			}
		}
		if len(gone) == 0 {
			return nil
		}
		if !c.Allow() {
			return nil
		}
		ch.shrink(func(units []int) []int { return ch.without(units, dead) })
		for _, l := range ch.layers {
			if k := gone[l.node]; k > 0 {
				c.Changed(l.node, "%d of %d units removed: they are constant, or only zero weights read them", k, len(l.units))
			}
		}
	}
}

// without is the positions of the units that stay. Of every axis at least one
// unit stays: unread sees to it.
func (c *channels) without(units []int, dead map[int]bool) []int {
	var out []int
	for i, u := range units {
		if !dead[c.root(u)] {
			out = append(out, i)
		}
	}
	return out
}

// unread is the units, by their roots, that only zero weights read.
func (c *channels) unread() map[int]bool {
	dead, alive := map[int]bool{}, map[int]bool{}
	for _, list := range c.params {
		for _, p := range list {
			norms := []float64(nil)
			if p.role == reads {
				norms = squares(p.value.Const(), p.axis)
			}
			for i, u := range p.units {
				switch root := c.root(u); {
				case c.frozen[root] || p.role == follows || norms != nil && norms[i] != 0:
					alive[root] = true
				case norms != nil:
					dead[root] = true
				}
			}
		}
	}
	for u := range alive {
		delete(dead, u)
	}
	c.spare(dead)
	return dead
}

// spare takes units off a set until every labelled axis keeps one.
func (c *channels) spare(gone map[int]bool) {
	for changed := true; changed; {
		changed = false
		for n := range c.m.Graph.Nodes() {
			for _, v := range n.Outputs() {
				for _, units := range c.labels[v] {
					if len(units) > 0 && len(c.without(units, gone)) == 0 {
						delete(gone, c.root(units[0]))
						changed = true
					}
				}
			}
		}
	}
}

// squares is the sum of squares of each slice along an axis.
func squares(t *tensor.Tensor, axis int) []float64 {
	inner := product(t.Shape[axis+1:])
	out := make([]float64, t.Shape[axis])
	for i, x := range t.Floats() {
		out[i/inner%len(out)] += x * x
	}
	return out
}

// foldConstants moves the values of units with zero weights into the biases of
// their readers, whose weights for them become zero. It returns false when no
// more rewrites are allowed.
func foldConstants(c *pass.Context, ch *channels) bool {
	for _, l := range ch.layers {
		values := ch.constants(l)
		if len(values) == 0 {
			continue
		}
		f := &constantFold{ch: ch, c: c}
		if !f.follow(l.node.Out(0), values) || len(f.edits) == 0 {
			continue
		}
		if !c.Allow() {
			return false
		}
		for _, edit := range f.edits {
			edit()
		}
	}
	return true
}

// constants is the value of each unit of a layer whose weights are all zero
// and that something still reads.
func (c *channels) constants(l layerUnits) map[int]float64 {
	i := slices.IndexFunc(c.params[l.node.In(1)], func(p param) bool { return p.node == l.node && p.role == makes })
	if i < 0 || len(l.node.Outputs()) != 1 {
		return nil
	}
	bias := make([]float64, len(l.units))
	if b := l.node.In(2); b != nil {
		if b.Const() == nil || b.Const().Len() != len(bias) {
			return nil
		}
		bias = b.Const().Floats()
		if l.node.Is("Gemm") {
			for i := range bias {
				bias[i] *= float64(l.node.Float("beta", 1))
			}
		}
	}
	values := map[int]float64{}
	norms := squares(l.node.In(1).Const(), c.params[l.node.In(1)][i].axis)
	dead := c.unread()
	for k, u := range l.units {
		if norms[k] == 0 && !dead[c.root(u)] && c.root(u) == u {
			values[u] = bias[k]
		}
	}
	return values
}

// constantFold follows units of constant value to what reads them.
type constantFold struct {
	ch    *channels
	c     *pass.Context
	edits []func()
}

// follow records the edits for all readers of v, in which units have the given
// values; false if one cannot take them.
func (f *constantFold) follow(v *graph.Value, values map[int]float64) bool {
	if v.IsOutput() {
		return false
	}
	for _, u := range v.Uses() {
		if !f.reader(u, v, values) {
			return false
		}
	}
	return true
}

func (f *constantFold) reader(u graph.Use, v *graph.Value, values map[int]float64) bool {
	n := u.Node
	if n.Graph() != f.ch.m.Graph || f.ch.labels[v] == nil {
		return false
	}
	r, err := op.Resolve(n, f.ch.m.Opset)
	if err != nil {
		return false
	}
	switch {
	case n.Is("Conv", "Gemm", "MatMul") && u.Index == 0:
		return f.absorb(n, v, values)
	case n.Is("MaxPool", "GlobalMaxPool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose", "Identity", "Squeeze", "Unsqueeze") && u.Index == 0,
		n.Is("Concat"), n.Is("AveragePool") && !slices.ContainsFunc(n.Ints("pads"), func(p int64) bool { return p != 0 }) && n.Int("ceil_mode", 0) == 0:
		return len(n.Outputs()) == 1 && f.follow(n.Out(0), values)
	case r.Flags&op.Elementwise != 0 && len(n.Inputs()) == 1:
		next := map[int]float64{}
		for unit, x := range values {
			t := tensor.FromFloats(f.ch.s.Type(v).Elem, []int{1}, []float64{x})
			out, err := r.Run(n, &op.Env{Context: f.c, MaxBytes: 1 << 10, MaxSteps: 10}, []tensor.Value{t})
			if err != nil || len(out) != 1 {
				return false
			}
			next[unit] = out[0].(*tensor.Tensor).Floats()[0]
		}
		return f.follow(n.Out(0), next)
	}
	return false
}

// absorb records bias[o] += W[o, unit]*value and W[o, unit] = 0.
func (f *constantFold) absorb(n *graph.Node, v *graph.Value, values map[int]float64) bool {
	w := n.In(1)
	i := slices.IndexFunc(f.ch.params[w], func(p param) bool { return p.node == n && p.role == reads })
	if i < 0 || len(w.Uses()) != 1 || w.Const().Type != tensor.Float32 {
		return false
	}
	if n.Is("Conv") && (n.Str("auto_pad", "NOTSET") != "NOTSET" || slices.ContainsFunc(n.Ints("pads"), func(p int64) bool { return p != 0 })) {
		for _, x := range values { // the border would see zeros instead
			if x != 0 {
				return false
			}
		}
	}
	beta := float64(1)
	alpha := float64(1)
	if n.Is("Gemm") {
		alpha, beta = float64(n.Float("alpha", 1)), float64(n.Float("beta", 1))
	}
	b := n.In(2)
	outAxis := 1 - f.ch.params[w][i].axis
	outs := w.Const().Shape[outAxis]
	switch {
	case n.Is("MatMul"):
		for _, x := range values {
			if x != 0 {
				return false
			}
		}
	case beta == 0, b != nil && (b.Const() == nil || b.Const().Len() != outs || len(b.Uses()) != 1 || b.Const().Type != tensor.Float32):
		return false
	}
	f.edits = append(f.edits, func() { absorbNow(n, f.ch.params[w][i], outAxis, alpha/beta, values) })
	return true
}

func absorbNow(n *graph.Node, p param, outAxis int, scale float64, values map[int]float64) {
	w := p.value
	t := w.Const()
	x := t.Floats()
	sum := make([]float64, t.Shape[outAxis])
	strides := tensor.Strides(t.Shape)
	moved := false
	for i := range x {
		if value, ok := values[p.units[i/strides[p.axis]%t.Shape[p.axis]]]; ok {
			sum[i/strides[outAxis]%t.Shape[outAxis]] += x[i] * value * scale
			moved = moved || value != 0 && x[i] != 0
			x[i] = 0
		}
	}
	w.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, t.Shape, x), Doc: w.Data.Doc, Metadata: w.Data.Metadata}
	if !moved {
		return
	}
	if b := n.In(2); b != nil {
		for i, y := range b.Const().Floats() {
			sum[i] += y
		}
		b.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, b.Const().Shape, sum), Doc: b.Data.Doc, Metadata: b.Data.Metadata}
		return
	}
	n.SetIn(2, n.Graph().AddInitializer(w.Name+".bias", &graph.Data{Tensor: tensor.FromFloats(t.Type, []int{len(sum)}, sum)}))
}

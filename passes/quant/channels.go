package quant

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// channels is values whose channels can be scaled together without a change of
// what the model computes: what makes them is divided by a factor for each
// channel, what reads them multiplied by it, and everything between is
// positively homogeneous: f(x/s) = f(x)/s for s > 0.
type channels struct {
	n       int
	axis    map[*graph.Value]int // of the channels
	values  []*graph.Value       // keys of axis, as they were reached
	makers  []channelParam       // divided
	readers []channelParam       // multiplied
}

// channelParam is one constant with channels.
type channelParam struct {
	node *graph.Node
	slot int
	of   func(i int) int // the channel of element i
}

func (s channelParam) value() *graph.Value { return s.node.In(s.slot) }

// grower finds the channels of values.
type grower struct {
	shapes *shape.Info
	opset  func(domain string) int64
	c      *channels
	todo   []*graph.Value
}

// grow is the channels of v along an axis, or why they cannot be scaled.
func (g *grower) grow(v *graph.Value, axis int) (*channels, string) {
	n := g.size(v, axis)
	if n < 2 {
		return nil, "the number of channels is not known"
	}
	g.c, g.todo = &channels{n: n, axis: map[*graph.Value]int{}}, nil
	why := g.reach(v, axis)
	for len(g.todo) > 0 && why == "" {
		v := g.todo[len(g.todo)-1]
		g.todo = g.todo[:len(g.todo)-1]
		if why = g.maker(v); why != "" {
			break
		}
		if v.IsOutput() {
			why = v.Name + " is an output"
		}
		for _, u := range v.Uses() {
			if why == "" {
				why = g.reader(v, u)
			}
		}
	}
	if why == "" && (len(g.c.makers) == 0 || len(g.c.readers) == 0) {
		why = "nothing reads them with weights"
	}
	for _, p := range slices.Concat(g.c.makers, g.c.readers) {
		if why == "" && (p.value().Only() == nil || p.value().Graph() != p.node.Graph()) {
			why = fmt.Sprintf("%s of %s is shared", p.value().Name, p.node.Title())
		}
	}
	return g.c, why
}

// size is the constant size of an axis of v, 0 if it is not known.
func (g *grower) size(v *graph.Value, axis int) int {
	t := g.shapes.Type(v)
	if axis < 0 || axis >= t.Rank() || t.Elem != tensor.Float32 {
		return 0
	}
	n, _ := t.Shape[axis].Const()
	return int(n)
}

// reach adds v, whose channels are along axis.
func (g *grower) reach(v *graph.Value, axis int) string {
	if k, ok := g.c.axis[v]; ok {
		if k != axis {
			return "channels of " + v.Name + " are along two axes"
		}
		return ""
	}
	if g.size(v, axis) != g.c.n {
		return fmt.Sprintf("%s has another number of channels", v.Name)
	}
	g.c.axis[v] = axis
	g.c.values = append(g.c.values, v)
	g.todo = append(g.todo, v)
	return ""
}

// maker follows v to what computes it.
func (g *grower) maker(v *graph.Value) string {
	d, axis := v.Def(), g.c.axis[v]
	switch {
	case d == nil:
		return v.Name + " is an input or a constant"
	case graph.CanonicalDomain(d.Domain) != "" || v.Slot() != 0:
		return d.Title() + " cannot be scaled"
	case d.Is("Conv", "ConvTranspose", "Gemm", "MatMul"):
		return g.product(d, axis)
	case d.Is("LayerNormalization", "RMSNormalization"):
		last := g.shapes.Type(v).Rank() - 1
		if k := d.Int("axis", -1); axis != last || k != -1 && int(k) != last {
			return d.Title() + " has another axis"
		}
		return g.vectors(d, 1, 2)
	case d.Is("BatchNormalization", "InstanceNormalization") && axis == 1 && len(d.Outputs()) == 1 && d.Int("training_mode", 0) == 0:
		return g.vectors(d, 1, 2)
	case d.Is("Mul") && (d.In(0).Const() != nil || d.In(1).Const() != nil):
		return g.operand(d, axis, &g.c.makers)
	}
	if k, why := g.through(d, axis, true); why != "" {
		return why
	} else if k >= 0 {
		return g.reach(d.In(0), k)
	}
	return g.sum(d, axis)
}

// product divides the weight and the bias of a layer.
func (g *grower) product(n *graph.Node, axis int) string {
	w := n.In(1).Const()
	rank := g.shapes.Type(n.Out(0)).Rank()
	switch {
	case !isFloat(w) || n.Is("MatMul") && (w.Rank() < 2 || axis != rank-1) || !n.Is("MatMul") && axis != 1:
		return "channels of " + n.Title() + " are not those of a constant weight"
	case n.Is("ConvTranspose"):
		each, group := w.Shape[1], int(n.Int("group", 1))
		inner, in := tensor.Strides(w.Shape)[1], w.Shape[0]/max(group, 1)
		g.add(&g.c.makers, n, 1, func(i int) int { return i/(inner*each)/max(in, 1)*each + i/inner%each })
	case n.Is("Conv"):
		g.along(&g.c.makers, n, 1, 0)
	case n.Is("Gemm"):
		g.along(&g.c.makers, n, 1, gemmAxis(n))
	default:
		g.along(&g.c.makers, n, 1, w.Rank()-1)
	}
	if b := n.In(2); b != nil && !n.Is("MatMul") {
		if t := b.Const(); !isFloat(t) || t.Len() != g.c.n || t.Shape[t.Rank()-1] != g.c.n {
			return "the bias of " + n.Title() + " is not one constant for each channel"
		}
		g.along(&g.c.makers, n, 2, b.Const().Rank()-1)
	}
	return ""
}

// vectors divides parameters of n that have one value for each channel.
func (g *grower) vectors(n *graph.Node, slots ...int) string {
	for _, i := range slots {
		if n.In(i) == nil && i > slots[0] {
			continue
		}
		if t := n.In(i).Const(); !isFloat(t) || t.Rank() != 1 || t.Len() != g.c.n {
			return fmt.Sprintf("parameter %d of %s is not one constant for each channel", i, n.Title())
		}
		g.along(&g.c.makers, n, i, 0)
	}
	return ""
}

func (g *grower) add(list *[]channelParam, n *graph.Node, slot int, of func(int) int) {
	*list = append(*list, channelParam{n, slot, of})
}

// along is a constant with the channels along an axis.
func (g *grower) along(list *[]channelParam, n *graph.Node, slot, axis int) {
	t := n.In(slot).Const()
	count, inner := channelsOf(t, axis)
	g.add(list, n, slot, func(i int) int { return i / inner % count })
}

// operand is the constant operand of an addition or multiplication.
func (g *grower) operand(n *graph.Node, axis int, list *[]channelParam) string {
	slot := 1
	if n.In(1).Const() == nil {
		slot = 0
	}
	t := n.In(slot).Const()
	at := axis - g.shapes.Type(n.Out(0)).Rank() + t.Rank()
	if !isFloat(t) || at < 0 || t.Shape[at] != g.c.n {
		return "the constant of " + n.Title() + " is not one for each channel"
	}
	g.along(list, n, slot, at)
	return ""
}

// sum joins both sides of an addition.
func (g *grower) sum(n *graph.Node, axis int) string {
	switch {
	case !n.Is("Add", "Sub"):
		return n.Title() + " cannot be scaled"
	case (n.In(0).Const() != nil) != (n.In(1).Const() != nil):
		for _, v := range n.Inputs() {
			if v.Const() == nil {
				if why := g.reach(v, axis); why != "" {
					return why
				}
			}
		}
		if _, ok := g.c.axis[n.Out(0)]; !ok { // else it was added on the way back
			return ""
		}
		return g.once(n, axis)
	}
	rank := g.shapes.Type(n.Out(0)).Rank()
	for _, v := range n.Inputs() {
		if g.shapes.Type(v).Rank() != rank {
			return n.Title() + " broadcasts"
		}
		if why := g.reach(v, axis); why != "" {
			return why
		}
	}
	return g.reach(n.Out(0), axis)
}

// once divides what an addition adds, if that is not done yet.
func (g *grower) once(n *graph.Node, axis int) string {
	for _, p := range g.c.makers {
		if p.node == n {
			return ""
		}
	}
	return g.operand(n, axis, &g.c.makers)
}

// reader follows v to a node that reads it.
func (g *grower) reader(v *graph.Value, u graph.Use) string {
	n, axis := u.Node, g.c.axis[v]
	if n == nil || graph.CanonicalDomain(n.Domain) != "" || n.Graph() != v.Graph() {
		return v.Name + " is read by what cannot be scaled"
	}
	var w *tensor.Tensor
	if n.In(1) != nil {
		w = n.In(1).Const()
	}
	rank := g.shapes.Type(v).Rank()
	switch {
	case n.Is("Conv") && u.Index == 0 && axis == 1 && isFloat(w):
		each, inner := w.Shape[1], tensor.Strides(w.Shape)[0]
		out := w.Shape[0] / max(int(n.Int("group", 1)), 1)
		taps := tensor.Strides(w.Shape)[1]
		g.add(&g.c.readers, n, 1, func(i int) int { return i/inner/out*each + i/taps%each })
		return ""
	case n.Is("ConvTranspose") && u.Index == 0 && axis == 1 && isFloat(w):
		g.along(&g.c.readers, n, 1, 0)
		return ""
	case n.Is("Gemm") && u.Index == 0 && axis == 1 && isFloat(w) && n.Int("transA", 0) == 0:
		g.along(&g.c.readers, n, 1, 1-gemmAxis(n))
		return ""
	case n.Is("MatMul") && u.Index == 0 && axis == rank-1 && isFloat(w) && w.Rank() >= 2:
		g.along(&g.c.readers, n, 1, w.Rank()-2)
		return ""
	case n.Is("Mul") && w != nil && u.Index == 0 && isFloat(w) && rank == g.shapes.Type(n.Out(0)).Rank():
		return g.operand(n, axis, &g.c.readers)
	}
	if k, why := g.through(n, axis, false); why != "" {
		return why
	} else if k >= 0 && u.Index == 0 {
		return g.reach(n.Out(0), k)
	}
	if n.Is("Add", "Sub") && n.In(1-u.Index).Const() != nil && rank == g.shapes.Type(n.Out(0)).Rank() {
		if why := g.reach(n.Out(0), axis); why != "" {
			return why
		}
		return g.once(n, axis)
	}
	return g.sum(n, axis)
}

// through is the axis of the channels on the other side of a homogeneous node
// with one operand, -1 if n is none: from its output back to its input, or the
// other way.
func (g *grower) through(n *graph.Node, axis int, back bool) (int, string) {
	in, out := g.shapes.Type(n.In(0)).Rank(), g.shapes.Type(n.Out(0)).Rank()
	if len(n.Outputs()) > 1 && n.Out(1) != nil {
		return -1, ""
	}
	switch {
	case n.Is("Clip"):
		lo, hi := clipBounds(n)
		if lo != 0 || hi < maxFloat {
			return -1, fmt.Sprintf("%s cuts at %g and %g, scaled or not", n.Title(), lo, hi)
		}
		return axis, ""
	case n.Is("Relu", "LeakyRelu", "Identity"):
		return axis, ""
	case n.Is("PRelu"):
		if n.In(1).Const() == nil {
			return -1, n.Title() + " has a slope that is not constant"
		}
		return axis, ""
	case n.Is("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool") && axis == 1:
		return axis, ""
	case n.Is("ReduceMean", "ReduceMax", "ReduceSum") && n.Int("keepdims", 1) != 0 && g.size(n.In(0), axis) == g.c.n && g.size(n.Out(0), axis) == g.c.n:
		return axis, ""
	case n.Is("Flatten", "Reshape", "Squeeze") && g.plane(n.In(0)) && out == 2 && axis == 1 && g.size(n.In(0), 1) == g.c.n && g.size(n.Out(0), 1) == g.c.n:
		return 1, ""
	case n.Is("Transpose") && in == out:
		perm := n.Ints("perm")
		for i := range in {
			from := in - 1 - i
			if perm != nil {
				from = int(perm[i])
			}
			if back && i == axis {
				return from, ""
			}
			if !back && from == axis {
				return i, ""
			}
		}
	}
	return -1, ""
}

// plane reports that v is [N, C] with only axes of size 1 behind.
func (g *grower) plane(v *graph.Value) bool {
	t := g.shapes.Type(v)
	for i := 2; i < t.Rank(); i++ {
		if g.size(v, i) != 1 {
			return false
		}
	}
	return t.Rank() >= 2
}

const maxFloat = 3e38

// clipBounds is the bounds of a Clip, beyond maxFloat for none; a lower bound of
// 1 stands for one that is not known.
func clipBounds(n *graph.Node) (lo, hi float32) {
	lo, hi = n.Float("min", -2*maxFloat/3), n.Float("max", maxFloat)
	for i, to := range []*float32{&lo, &hi} {
		if v := n.In(i + 1); v != nil {
			t := v.Const()
			if !isFloat(t) || t.Len() != 1 {
				return 1, 0
			}
			*to = t.Float32s()[0]
		}
	}
	return lo, hi
}

// scale divides what makes the channels by s and multiplies what reads them.
func (c *channels) scale(s []float32) {
	write := func(p channelParam, f func(w, s float32) float32) {
		old := p.value()
		v := slices.Clone(old.Const().Float32s())
		for i := range v {
			v[i] = f(v[i], s[p.of(i)])
		}
		g := p.node.Graph()
		p.node.SetIn(p.slot, g.AddInitializer(old.Name, &graph.Data{Tensor: tensor.Of(old.Const().Shape, v)}))
		g.RemoveInitializer(old)
	}
	for _, p := range c.makers {
		write(p, func(w, s float32) float32 { return w / s })
	}
	for _, p := range c.readers {
		write(p, func(w, s float32) float32 { return w * s })
	}
}

// largest is the largest magnitude of each channel in some weights of products;
// 0 where there is none.
func (c *channels) largest(list []channelParam) []float32 {
	out := make([]float32, c.n)
	for _, p := range list {
		if !p.node.Is("Conv", "ConvTranspose", "Gemm", "MatMul") || p.slot != 1 {
			continue
		}
		for i, w := range p.value().Const().Float32s() {
			k := p.of(i)
			out[k] = max(out[k], max(w, -w))
		}
	}
	return out
}

// eachChannels calls f for each group of channels that an integer product reads.
func eachChannels(g *grower, m *graph.Model, f func(*channels), kept func(*graph.Node, string)) {
	seen := map[*graph.Value]bool{}
	for n := range m.Graph.Nodes() {
		if r, err := op.Resolve(n, g.opset); err != nil || r.Quant.Kind != op.QuantInteger || !n.Is("Conv", "ConvTranspose", "Gemm", "MatMul") {
			continue
		}
		v := n.In(0)
		if v == nil || v.Const() != nil || n.In(1) == nil || !isFloat(n.In(1).Const()) || seen[v] {
			continue
		}
		axis := 1
		if n.Is("MatMul") {
			axis = g.shapes.Type(v).Rank() - 1
		}
		c, why := g.grow(v, axis)
		if c == nil {
			kept(n, why)
			continue
		}
		for _, v := range c.values {
			seen[v] = true
		}
		if why != "" {
			kept(n, why)
			continue
		}
		f(c)
	}
}

package quant

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
	"onnxopt/runtime/calibrate"
	"onnxopt/runtime/lattice"
)

// What bounds the work: inputs of one output beyond which weights are rounded
// to nearest, multiplications for one layer's Gram matrices, and bytes of Gram
// matrices kept at once.
const (
	maxInputs = 4608
	gramWork  = 16 << 30
	gramBytes = 128 << 20
	// groupedWidth is the rows that the Gram matrix of one of many groups
	// multiplies at once.
	groupedWidth = 64
)

// system is the layers that read the same rows X: their weights are seen as
// a matrix of channels x inputs for each group.
type system struct {
	reader
	input  *graph.Value
	inputs int  // weights of one output channel
	groups int  // of channels
	bias   bool // the layers have one, which absorbs the mean error
	layers []*layer
}

// layer is a node with a constant weight.
type layer struct {
	node     *graph.Node
	axis     int // of the output channels of the weight
	scales   int // axis of its scales, -1 for one
	channels int // of all groups
}

// systems is the systems of some layers.
type systems struct {
	list  []*system
	known map[string]*system
	seen  map[*graph.Value]bool // weights
}

// add puts the layer n, weight slot 1, to those that read the same; bias says
// that its bias absorbs the mean error. What cannot be rounded is reported.
func (y *systems) add(c *pass.Context, m *graph.Model, n *graph.Node, q *quantNode, bias bool) {
	if y.known == nil {
		y.known, y.seen = map[string]*system{}, map[*graph.Value]bool{}
	}
	if y.seen[n.In(1)] {
		return
	}
	y.seen[n.In(1)] = true
	s, reason := newSystem(m, n, q, c.Samples.Len())
	if s == nil {
		c.Kept(n, "weight rounded to nearest: %s", reason)
		return
	}
	s.bias = bias
	key := fmt.Sprint(s.input.Name, s.inputs, s.groups, s.bias)
	if s.attrs != nil {
		key += fmt.Sprint(s.weight[1:], s.attrs.Ints("strides"), s.attrs.Ints("pads"), s.attrs.Ints("dilations"), s.attrs.Str("auto_pad"))
	}
	if k := y.known[key]; k != nil {
		k.layers = append(k.layers, s.layers...)
		return
	}
	y.known[key] = s
	y.list = append(y.list, s)
}

// solve rounds the weights of all layers to the scales of start, as many
// systems at a time as their Gram matrices fit in memory.
func (y *systems) solve(c *pass.Context, m *graph.Model, start func(*layer) *pass.Rounding, done func(*layer, *pass.Rounding)) error {
	rest, total := y.list, len(y.list)
	for len(rest) > 0 {
		n, bytes := 0, 0
		for n < len(rest) && (n == 0 || bytes+rest[n].bytes() <= gramBytes) {
			bytes += rest[n].bytes()
			n++
		}
		if err := gather(c, m, rest[:n], total-len(rest), total); err != nil {
			return err
		}
		for _, s := range rest[:n] {
			s.round(c, start, done)
		}
		rest = rest[n:]
	}
	return nil
}

// gather runs the model on the samples and sums the Gram matrices of systems.
func gather(c *pass.Context, m *graph.Model, systems []*system, done, total int) error {
	readers := map[*graph.Value][]*system{}
	watch := map[*graph.Value]bool{}
	for _, s := range systems {
		width := 0
		if s.groups > 1 {
			width = groupedWidth
		}
		for range s.groups {
			s.grams = append(s.grams, lattice.NewGram(s.inputs, width, s.bias))
		}
		readers[s.input] = append(readers[s.input], s)
		watch[s.input] = true
	}
	var b batch
	see := func(v *graph.Value, x tensor.Value) {
		if t, ok := x.(*tensor.Tensor); ok && t.Type == tensor.Float32 {
			for _, s := range readers[v] {
				s.read(t, b.parts(t))
			}
		}
	}
	all := calibrate.Span{First: 0, End: c.Samples.Len()}
	if err := sweep(c, m, all, runtime.Options{Watch: watch, Observe: see}, &b,
		func(at, n int) { c.Progress((done*n+at*len(systems))/max(n, 1), total) }); err != nil {
		return err
	}
	for _, s := range systems {
		for _, g := range s.grams {
			g.Finish()
		}
	}
	return nil
}

func newSystem(m *graph.Model, n *graph.Node, q *quantNode, samples int) (*system, string) {
	w := n.In(q.weight).Const()
	s := &system{reader: reader{weight: w.Shape}, input: n.In(0), groups: 1}
	l := &layer{node: n, scales: q.axis}
	s.layers = []*layer{l}
	switch {
	case n.Is("Conv"):
		r, err := op.Resolve(n, m.Opset)
		if err != nil {
			return nil, err.Error()
		}
		s.attrs = &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}
		l.channels, s.groups = w.Shape[0], s.attrs.Int("group")
	case n.Is("Gemm", "MatMul") && w.Rank() == 2:
		l.axis, _ = channelAxis(n, q.weight, w) // also of a weight with one scale
		l.channels = w.Shape[l.axis]
	default:
		return nil, fmt.Sprintf("%s with a weight of shape %v", n.Op, w.Shape)
	}
	s.inputs = w.Len() / max(l.channels, 1)
	if len(n.In(q.weight).Uses()) > 1 {
		return nil, "it is shared"
	}
	if s.inputs > maxInputs {
		return nil, fmt.Sprintf("%d inputs, more than %d", s.inputs, maxInputs)
	}
	work := max(s.inputs*s.inputs*s.groups, 1)
	rows := min(max(4*s.inputs, 4096), 2*gramWork/work)
	s.rows = max((rows+samples-1)/max(samples, 1), 1)
	return s, ""
}

func (s *system) bytes() int { return 4 * s.groups * s.inputs * s.inputs }

// round quantizes the weights of all layers, group by group, and frees the
// Gram matrices.
func (s *system) round(c *pass.Context, start func(*layer) *pass.Rounding, done func(*layer, *pass.Rounding)) {
	limit := weightLimit(c.Settings.Quant)
	result := make([]*pass.Rounding, len(s.layers))
	for i, l := range s.layers {
		result[i] = start(l)
		if s.bias {
			result[i].Shift = make([]float32, l.channels)
		}
	}
	for k, g := range s.grams {
		s.grams[k] = nil
		if g.Rows == 0 {
			s.kept(c, "no samples reached it")
			return
		}
		solve, err := lattice.NewSolver(g)
		if err != nil {
			s.kept(c, err.Error())
			return
		}
		for i, l := range s.layers {
			l.round(solve, g, k*l.channels/s.groups, l.channels/s.groups, limit, result[i])
		}
	}
	s.grams = nil
	for i, l := range s.layers {
		done(l, result[i])
	}
}

func (s *system) kept(c *pass.Context, reason string) {
	for _, l := range s.layers {
		c.Kept(l.node, "weight rounded to nearest: %s", reason)
	}
}

// round rounds count channels of a group, from the first on.
func (l *layer) round(s *lattice.Solver, g *lattice.Gram, first, count int, limit float32, r *pass.Rounding) {
	v := l.node.In(1).Const().Float32s()
	at := func(channel, input int) int { return (first+channel)*g.N + input }
	if l.axis > 0 { // [inputs, channels]
		at = func(channel, input int) int { return input*l.channels + first + channel }
	}
	errs := make([]float32, count*g.N)
	for c := range count {
		for k, input := range s.Order {
			errs[c*g.N+k] = v[at(c, input)]
		}
	}
	step := func(c, input int) float32 { return r.Step(first+c, input, g.N) }
	s.Round(errs, count, step, limit, func(c, input int, q int8) { r.Values[at(c, input)] = q })
	if r.Shift == nil {
		return
	}
	for c := range count {
		shift := 0.0
		for k, input := range s.Order {
			shift += g.Mean(input) * float64(errs[c*g.N+k])
		}
		r.Shift[first+c] = float32(shift)
	}
}

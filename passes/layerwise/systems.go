// Package layerwise gathers what single layers read on the samples, for passes
// that choose the weights of each layer by least squares on its result: the
// Gram matrix H = X'X of the rows X that its outputs read.
package layerwise

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

// What bounds the work: inputs of one output beyond which a layer is left out,
// multiplications for one layer's Gram matrices, and bytes of Gram matrices
// kept at once.
const (
	maxInputs = 4608
	gramWork  = 16 << 30
	gramBytes = 128 << 20
	// groupedWidth is the rows that the Gram matrix of one of many groups
	// multiplies at once.
	groupedWidth = 64
)

// System is the layers that read the same rows X: their weights are seen as
// a matrix of channels x inputs for each group.
type System struct {
	reader
	Layers []*Layer
	input  *graph.Value
	inputs int  // weights of one output channel
	Bias   bool // the layers have one, which absorbs the mean error
	groups int  // of channels
}

// Layer is a Conv, Gemm or MatMul with a constant weight in slot 1.
type Layer struct {
	Node     *graph.Node
	Channels int // of all groups
	axis     int // of the output channels of the weight
}

// Systems is the systems of some layers.
type Systems struct {
	list  []*System
	known map[string]*System
	seen  map[*graph.Value]bool // weights
}

// Add puts the layer n to those that read the same, once for each weight; bias
// says that its bias absorbs the mean error, so that X is centred. It returns
// why a layer cannot be solved, "" if it can.
func (y *Systems) Add(m *graph.Model, n *graph.Node, samples int, bias bool) string {
	if y.known == nil {
		y.known, y.seen = map[string]*System{}, map[*graph.Value]bool{}
	}
	if y.seen[n.In(1)] {
		return ""
	}
	y.seen[n.In(1)] = true
	s, reason := newSystem(m, n, samples)
	if s == nil {
		return reason
	}
	s.Bias = bias
	key := fmt.Sprint(s.input.Name, s.inputs, s.groups, s.Bias)
	if s.attrs != nil {
		key += fmt.Sprint(s.weight[1:], s.attrs.Ints("strides"), s.attrs.Ints("pads"), s.attrs.Ints("dilations"), s.attrs.Str("auto_pad"))
	}
	if k := y.known[key]; k != nil {
		k.Layers = append(k.Layers, s.Layers...)
		return ""
	}
	y.known[key] = s
	y.list = append(y.list, s)
	return ""
}

// Each gathers the Gram matrices of all systems, as many at a time as fit in
// memory, and hands each system to use, after which its matrices are freed.
func (y *Systems) Each(c *pass.Context, m *graph.Model, use func(*System)) error {
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
			use(s)
			s.grams = nil
		}
		rest = rest[n:]
	}
	return nil
}

// gather runs the model on the samples and sums the Gram matrices of systems.
func gather(c *pass.Context, m *graph.Model, systems []*System, done, total int) error {
	readers := map[*graph.Value][]*System{}
	watch := map[*graph.Value]bool{}
	for _, s := range systems {
		width := 0
		if s.groups > 1 {
			width = groupedWidth
		}
		for range s.groups {
			s.grams = append(s.grams, lattice.NewGram(s.inputs, width, s.Bias))
		}
		readers[s.input] = append(readers[s.input], s)
		watch[s.input] = true
	}
	var b Batch
	see := func(v *graph.Value, x tensor.Value) {
		if t, ok := x.(*tensor.Tensor); ok && t.Type == tensor.Float32 {
			for _, s := range readers[v] {
				s.read(t, b.Parts(t))
			}
		}
	}
	all := calibrate.Span{First: 0, End: c.Samples.Len()}
	if err := Sweep(c, m, all, runtime.Options{Watch: watch, Observe: see}, &b,
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

func newSystem(m *graph.Model, n *graph.Node, samples int) (*System, string) {
	w := n.In(1).Const()
	s := &System{reader: reader{weight: w.Shape}, input: n.In(0), groups: 1}
	l := &Layer{Node: n}
	s.Layers = []*Layer{l}
	switch {
	case w.Type != tensor.Float32:
		return nil, fmt.Sprintf("its weight is %v", w.Type)
	case n.Is("Gemm") && n.Int("transA", 0) != 0:
		return nil, "transA is set"
	case n.Is("Conv"):
		r, err := op.Resolve(n, m.Opset)
		if err != nil {
			return nil, err.Error()
		}
		s.attrs = &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}
		l.Channels, s.groups = w.Shape[0], s.attrs.Int("group")
	case n.Is("Gemm", "MatMul") && w.Rank() == 2:
		l.axis = 1
		if n.Is("Gemm") && n.Int("transB", 0) != 0 {
			l.axis = 0
		}
		l.Channels = w.Shape[l.axis]
	default:
		return nil, fmt.Sprintf("%s with a weight of shape %v", n.Op, w.Shape)
	}
	s.inputs = w.Len() / max(l.Channels, 1)
	if len(n.In(1).Uses()) > 1 {
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

func (s *System) bytes() int { return 4 * s.groups * s.inputs * s.inputs }

// Solve is the groups of channels of each of Layers, with what they read and
// runs of so many inputs (run, 0 is 1) together in the solver's order, or why
// there is no solution.
func (s *System) Solve(run int) (groups [][]*Group, reason string) {
	groups = make([][]*Group, len(s.Layers))
	for k, gram := range s.grams {
		if gram.Rows == 0 {
			return nil, "no samples reached it"
		}
		solver, err := lattice.NewSolver(gram, run)
		if err != nil {
			return nil, err.Error()
		}
		for i, l := range s.Layers {
			count := l.Channels / s.groups
			groups[i] = append(groups[i], &Group{Layer: l, Solver: solver, gram: gram, First: k * count, Count: count})
		}
	}
	return groups, ""
}

// Group is Count output channels of a layer from First on, which read the same
// inputs.
type Group struct {
	*Layer
	*lattice.Solver
	gram         *lattice.Gram
	First, Count int
}

// Inputs is the weights of a channel.
func (g *Group) Inputs() int { return g.gram.N }

// Refit is lattice.Solver.Refit on what the group reads.
func (g *Group) Refit(was, w []float32, steps int) { g.Solver.Refit(g.gram, was, w, g.Count, steps) }

// At is where the weight from an input to a channel of the group is.
func (g *Group) At(channel, input int) int {
	if g.axis > 0 { // [inputs, channels]
		return input*g.Channels + g.First + channel
	}
	return (g.First+channel)*g.gram.N + input
}

// Rows is a copy of the weights, [channels][inputs], inputs in Solver.Order.
func (g *Group) Rows() []float32 {
	v := g.Node.In(1).Const().Float32s()
	rows := make([]float32, g.Count*g.gram.N)
	for c := range g.Count {
		for k, input := range g.Order {
			rows[c*g.gram.N+k] = v[g.At(c, input)]
		}
	}
	return rows
}

// Shift is the mean error of a channel's result, from the errors of all
// weights, laid out as Rows.
func (g *Group) Shift(channel int, errs []float32) float32 {
	shift := 0.0
	for k, input := range g.Order {
		shift += g.gram.Mean(input) * float64(errs[channel*g.gram.N+k])
	}
	return float32(shift)
}

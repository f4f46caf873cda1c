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
	// leastRows is how many rows are summed at least, if there are as many, and
	// leastGroupedRows where there are many groups, of few inputs each.
	leastRows        = 4096
	leastGroupedRows = 512
)

// System is the layers that read the same rows X: their weights are seen as
// a matrix of channels x inputs for each group.
type System struct {
	reader
	Layers []*Layer
	key    string // of X
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
	s.key = fmt.Sprint(s.input.Name, s.inputs, s.groups, s.rows, s.Bias)
	if s.attrs != nil {
		s.key += fmt.Sprint(s.weight[1:], s.attrs.Ints("strides"), s.attrs.Ints("pads"), s.attrs.Ints("dilations"), s.attrs.Str("auto_pad"))
	}
	if k := y.known[s.key]; k != nil {
		k.Layers = append(k.Layers, s.Layers...)
		return ""
	}
	y.known[s.key] = s
	y.list = append(y.list, s)
	return ""
}

// Each hands each system to use, with the Gram matrices that calibration left
// in c or that it gathers, as many at a time as fit in memory; they are freed
// then.
func (y *Systems) Each(c *pass.Context, m *graph.Model, use func(*System)) error {
	var rest []*System
	for _, s := range y.list {
		if s.grams = c.Grams[s.key]; s.grams == nil {
			rest = append(rest, s)
			continue
		}
		delete(c.Grams, s.key)
		use(s)
		s.grams = nil
	}
	total := len(rest)
	for len(rest) > 0 {
		g := newGathering(rest)
		if err := g.sweep(c, m, total-len(rest), total); err != nil {
			return err
		}
		for _, s := range g.systems {
			use(s)
			s.grams = nil
		}
		rest = rest[len(g.systems):]
	}
	return nil
}

// Gathering sums the Gram matrices of some systems while the model runs.
type Gathering struct {
	systems []*System
	readers map[*graph.Value][]*System
}

// Gathering is that of the first systems, as many as fit in memory.
func (y *Systems) Gathering() *Gathering { return newGathering(y.list) }

func newGathering(list []*System) *Gathering {
	n, bytes := 0, 0
	for n < len(list) && (n == 0 || bytes+list[n].bytes() <= gramBytes) {
		bytes += list[n].bytes()
		n++
	}
	g := &Gathering{list[:n], map[*graph.Value][]*System{}}
	for _, s := range g.systems {
		width := 0
		if s.groups > 1 {
			width = groupedWidth
		}
		s.grams = lattice.NewGrams(s.groups, s.inputs, width, s.Bias)
		g.readers[s.input] = append(g.readers[s.input], s)
	}
	return g
}

// Watch adds what the systems read to the values to watch.
func (g *Gathering) Watch(watch map[*graph.Value]bool) {
	for v := range g.readers {
		watch[v] = true
	}
}

// See reads a watched value of a batch, which may be held with axis 1 last.
func (g *Gathering) See(b *Batch, v *graph.Value, t *tensor.Tensor, last bool) {
	for _, s := range g.readers[v] {
		s.read(t, b.Parts(t), last)
	}
}

// Keep leaves the Gram matrices to Each of the passes that follow.
func (g *Gathering) Keep(c *pass.Context) {
	c.Grams = map[string][]*lattice.Gram{}
	for _, s := range g.systems {
		c.Grams[s.key] = s.finish()
	}
}

// sweep runs the model on the samples.
func (g *Gathering) sweep(c *pass.Context, m *graph.Model, done, total int) error {
	watch := map[*graph.Value]bool{}
	g.Watch(watch)
	all := calibrate.Span{First: 0, End: c.Samples.Len()}
	progress := func(at, n int) { c.Progress((done*n+at*len(g.systems))/max(n, 1), total) }
	if err := Sweep(c, m, all, watch, g.See, progress); err != nil {
		return err
	}
	for _, s := range g.systems {
		s.finish()
	}
	return nil
}

func (s *System) finish() []*lattice.Gram {
	for _, g := range s.grams {
		g.Finish()
	}
	return s.grams
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
	enough := leastRows
	if s.groups > 1 {
		enough = leastGroupedRows
	}
	rows := min(max(4*s.inputs, enough), 2*gramWork/work)
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

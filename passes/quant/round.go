package quant

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
	"onnxopt/runtime/calibrate"
	"onnxopt/runtime/lattice"
)

// Round chooses how each weight is rounded by least squares on what its layer
// reads: it minimizes the error of the layer's result, |XW - XW'|, instead of
// that of each weight.
//
// Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ: Accurate Post-Training
// Quantization for Generative Pre-trained Transformers", 2023, with the columns
// in order of decreasing energy. Where the layer has a bias, X is centred and
// the bias absorbs the mean error (Nagel et al., "Data-Free Quantization Through
// Weight Equalization and Bias Correction", 2019, section 4.2).
var Round = pass.Pass{
	Name:  "round-weights",
	Doc:   "choose the rounding of weights by least squares on the inputs of their layers",
	Needs: pass.Calibrated,
	Run:   roundWeights,
}

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

func roundWeights(c *pass.Context, m *graph.Model) error {
	c.Rounded = map[string]*pass.Rounding{}
	p, err := newPlan(c, m, silent)
	if err != nil {
		return err
	}
	if c.Samples == nil {
		c.Warn("left out: it needs samples")
		return nil
	}
	systems := newSystems(c, m, p)
	total := len(systems)
	for len(systems) > 0 {
		n, bytes := 0, 0
		for n < len(systems) && (n == 0 || bytes+systems[n].bytes() <= gramBytes) {
			bytes += systems[n].bytes()
			n++
		}
		if err := gather(c, m, systems[:n], total-len(systems), total); err != nil {
			return err
		}
		for _, s := range systems[:n] {
			s.round(c)
		}
		systems = slices.Delete(systems, 0, n)
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
	if err := sweep(c, m, watch, all, see, &b, func(at, n int) { c.Progress((done*n+at*len(systems))/max(n, 1), total) }); err != nil {
		return err
	}
	for _, s := range systems {
		for _, g := range s.grams {
			g.Finish()
		}
	}
	return nil
}

// sweep runs the model on a span of the samples; see gets the watched values,
// graph inputs among them, of each batch b.
func sweep(c *pass.Context, m *graph.Model, watch map[*graph.Value]bool, span calibrate.Span, see func(*graph.Value, tensor.Value), b *batch,
	progress func(done, total int)) error {
	s, err := runtime.Compile(m, runtime.Options{Threads: c.Settings.Threads, Observe: see, Watch: watch})
	if err != nil {
		return err
	}
	size, err := c.BatchSize()
	if err != nil {
		return err
	}
	for at := span.First; at < span.End; at += size {
		to := min(at+size, span.End)
		in, err := c.Values(m, at, to)
		if err != nil {
			return err
		}
		b.rows, b.size = to-at, max(c.Samples.BatchSize(), to-at)
		for i, v := range m.Graph.Inputs() {
			if i < len(in) && in[i] != nil && watch[v] {
				see(v, in[i])
			}
		}
		if _, err := s.Run(c, in); err != nil {
			return err
		}
		progress(to-span.First, span.End-span.First)
	}
	return nil
}

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

// newSystems groups the layers of the plan whose weights can be rounded.
func newSystems(c *pass.Context, m *graph.Model, p *plan) []*system {
	var systems []*system
	known := map[string]*system{}
	seen := map[*graph.Value]bool{}
	for _, n := range p.order {
		q := p.nodes[n]
		if q.weight != 1 || seen[n.In(q.weight)] {
			continue
		}
		seen[n.In(q.weight)] = true
		s, reason := newSystem(m, n, q, c.Samples.Len())
		if s == nil {
			c.Kept(n, "weight rounded to nearest: %s", reason)
			continue
		}
		key := fmt.Sprint(s.input.Name, s.inputs, s.groups, s.bias)
		if s.attrs != nil {
			key += fmt.Sprint(s.weight[1:], s.attrs.Ints("strides"), s.attrs.Ints("pads"), s.attrs.Ints("dilations"), s.attrs.Str("auto_pad"))
		}
		if known[key] == nil {
			known[key] = s
			systems = append(systems, s)
			continue
		}
		known[key].layers = append(known[key].layers, s.layers...)
	}
	return systems
}

func newSystem(m *graph.Model, n *graph.Node, q *quantNode, samples int) (*system, string) {
	w := n.In(q.weight).Const()
	s := &system{reader: reader{weight: w.Shape}, input: n.In(0), groups: 1, bias: !n.Is("MatMul") && n.In(2) != nil}
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
func (s *system) round(c *pass.Context) {
	limit := weightLimit(c.Settings.Quant)
	result := make([]*pass.Rounding, len(s.layers))
	for i, l := range s.layers {
		w := l.node.In(1).Const()
		result[i] = &pass.Rounding{Scale: weightScales(w, l.scales, limit), Values: make([]int8, w.Len())}
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
		c.Rounded[l.node.In(1).Name] = result[i]
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
	step := func(c, _ int) float32 { return r.Scale[min(first+c, len(r.Scale)-1)] }
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

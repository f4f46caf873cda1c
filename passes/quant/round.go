package quant

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
	"onnxopt/runtime/calibrate"
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
	maxInputs = 2304
	gramWork  = 1 << 30
	gramBytes = 128 << 20
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
	var layers []*layer
	seen := map[*graph.Value]bool{}
	for _, n := range p.order {
		q := p.nodes[n]
		if q.weight != 1 || seen[n.In(q.weight)] {
			continue
		}
		seen[n.In(q.weight)] = true
		l, reason := newLayer(m, n, q, c.Samples.Len())
		if l == nil {
			c.Kept(n, "weight rounded to nearest: %s", reason)
			continue
		}
		layers = append(layers, l)
	}
	total := len(layers)
	for len(layers) > 0 {
		n, bytes := 0, 0
		for n < len(layers) && (n == 0 || bytes+layers[n].bytes() <= gramBytes) {
			bytes += layers[n].bytes()
			n++
		}
		if err := gather(c, m, p, layers[:n], total-len(layers), total); err != nil {
			return err
		}
		for _, l := range layers[:n] {
			w := l.node.In(l.q.weight)
			r, err := l.round(c.Settings.Quant)
			if err != nil {
				c.Kept(l.node, "weight rounded to nearest: %v", err)
				continue
			}
			c.Rounded[w.Name] = r
		}
		layers = slices.Delete(layers, 0, n)
	}
	return nil
}

// gather runs the model on the samples and sums the Gram matrices of layers.
func gather(c *pass.Context, m *graph.Model, p *plan, layers []*layer, done, total int) error {
	readers := map[*graph.Value][]*layer{}
	watch := map[*graph.Value]bool{}
	for _, l := range layers {
		l.gram = make([]*gram, l.groups)
		for g := range l.gram {
			l.gram[g] = &gram{sum: mat.NewSymDense(l.inputs, nil), mean: make([]float64, l.inputs)}
		}
		v := l.node.In(0)
		readers[v] = append(readers[v], l)
		watch[v] = true
	}
	var b batch
	see := func(v *graph.Value, x tensor.Value) {
		if t, ok := x.(*tensor.Tensor); ok && t.Type == tensor.Float32 {
			for _, l := range readers[v] {
				l.add(t, b.parts(t))
			}
		}
	}
	all := calibrate.Span{First: 0, End: c.Samples.Len()}
	return sweep(c, m, watch, all, see, &b, func(at, n int) { c.Progress((done*n+at*len(layers))/max(n, 1), total) })
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

// layer is a node with a constant weight, seen as a matrix of channels x
// inputs for each group.
type layer struct {
	node     *graph.Node
	q        *quantNode
	axis     int // of the weight, along which its output channels are
	channels int // output channels, of all groups
	inputs   int // weights of one output channel
	groups   int
	rows     int       // rows of X to take from one sample, at most
	attrs    *op.Attrs // of a Conv
	conv     *patches
	gram     []*gram
}

// gram is X'X over the rows seen, and their sum.
type gram struct {
	sum  *mat.SymDense
	mean []float64
	rows int
}

func newLayer(m *graph.Model, n *graph.Node, q *quantNode, samples int) (*layer, string) {
	w := n.In(q.weight).Const()
	l := &layer{node: n, q: q, groups: 1}
	switch {
	case n.Is("Conv"):
		r, err := op.Resolve(n, m.Opset)
		if err != nil {
			return nil, err.Error()
		}
		l.attrs = &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}
		l.channels, l.groups = w.Shape[0], l.attrs.Int("group")
		l.inputs = w.Len() / max(l.channels, 1)
	case n.Is("Gemm", "MatMul") && w.Rank() == 2:
		l.axis, _ = channelAxis(n, q.weight, w) // also of a weight with one scale
		l.channels = w.Shape[l.axis]
		l.inputs = w.Len() / max(l.channels, 1)
	default:
		return nil, fmt.Sprintf("%s with a weight of shape %v", n.Op, w.Shape)
	}
	if len(n.In(q.weight).Uses()) > 1 {
		return nil, "it is shared"
	}
	if l.inputs > maxInputs {
		return nil, fmt.Sprintf("%d inputs, more than %d", l.inputs, maxInputs)
	}
	work := max(l.inputs*l.inputs*l.groups, 1)
	l.rows = max(min(gramWork/work, 1<<15)/max(samples, 1), 1)
	return l, ""
}

func (l *layer) bytes() int { return 8 * l.groups * l.inputs * l.inputs }

// add takes rows of X from a batch of samples, evenly spaced.
func (l *layer) add(x *tensor.Tensor, samples int) {
	if l.node.Is("Conv") {
		if l.conv == nil || !slices.Equal(l.conv.input, x.Shape) {
			var err error
			if l.conv, err = newPatches(l.attrs, x.Shape, l.node.In(1).Const().Shape); err != nil {
				return
			}
		}
		row := make([]float64, l.inputs)
		for s := range min(samples, x.Shape[0]) {
			for pos := range spaced(l.conv.pixels(), l.rows) {
				for g, m := range l.gram {
					l.conv.read(x.Float32s(), s, g, pos, row)
					m.add(row)
				}
			}
		}
		return
	}
	v := x.Float32s()
	all := len(v) / l.inputs
	row := make([]float64, l.inputs)
	for r := range spaced(all, min(all, l.rows*samples)) {
		for i := range row {
			row[i] = float64(v[r*l.inputs+i])
		}
		l.gram[0].add(row)
	}
}

// spaced yields at most k of the integers below n, evenly spaced.
func spaced(n, k int) func(func(int) bool) {
	return func(yield func(int) bool) {
		k = min(k, n)
		for i := range k {
			if !yield((2*i + 1) * n / (2 * k)) {
				return
			}
		}
	}
}

func (g *gram) add(row []float64) {
	g.sum.SymRankOne(g.sum, 1, mat.NewVecDense(len(row), row))
	for i, x := range row {
		g.mean[i] += x
	}
	g.rows++
}

// round quantizes the weight channel by channel, all groups.
func (l *layer) round(s pass.QuantSettings) (*pass.Rounding, error) {
	t := l.node.In(l.q.weight).Const()
	v := t.Float32s()
	bias := !l.node.Is("MatMul") && l.node.In(2) != nil
	scale := weightScales(t, l.q.axis, weightLimit(s))
	r := &pass.Rounding{Scale: scale, Values: make([]int8, len(v))}
	if bias {
		r.Shift = make([]float32, l.channels)
	}
	perGroup := l.channels / l.groups
	for g, m := range l.gram {
		if m.rows == 0 {
			return nil, fmt.Errorf("no samples reached it")
		}
		sol, err := newSolver(m, bias)
		if err != nil {
			return nil, err
		}
		row := make([]float64, l.inputs)
		for c := g * perGroup; c < (g+1)*perGroup; c++ {
			at := func(i int) int { return c*l.inputs + i }
			if l.axis > 0 { // [inputs, channels]
				at = func(i int) int { return i*l.channels + c }
			}
			for i := range row {
				row[i] = float64(v[at(i)])
			}
			step := float64(scale[min(c, len(scale)-1)])
			shift := sol.round(row, step, float64(weightLimit(s)), func(i int, q int8) { r.Values[at(i)] = q })
			if bias {
				r.Shift[c] = float32(shift)
			}
		}
	}
	return r, nil
}

// solver rounds rows of weights that read the same inputs.
type solver struct {
	order []int      // inputs, of most energy first
	upper *mat.Dense // R of H^-1 = R'R, inputs in order
	mean  []float64  // of the inputs, nil where no bias absorbs the mean error
	work  []float64
}

// newSolver damps and inverts H = X'X / rows, less the mean's part.
func newSolver(m *gram, centre bool) (*solver, error) {
	n := len(m.mean)
	s := &solver{order: make([]int, n), work: make([]float64, n)}
	for i := range m.mean {
		m.mean[i] /= float64(m.rows)
		s.order[i] = i
	}
	h := func(i, j int) float64 {
		x := m.sum.At(i, j) / float64(m.rows)
		if centre {
			x -= m.mean[i] * m.mean[j]
		}
		return x
	}
	if centre {
		s.mean = m.mean
	}
	energy, trace := make([]float64, n), 0.0
	for i := range energy {
		energy[i] = h(i, i)
		trace += energy[i]
	}
	slices.SortStableFunc(s.order, func(a, b int) int {
		switch {
		case energy[a] > energy[b]:
			return -1
		case energy[a] < energy[b]:
			return 1
		}
		return a - b
	})
	damp := 0.01*trace/float64(n) + 1e-12
	sym := mat.NewSymDense(n, nil)
	for i, a := range s.order {
		for j := i; j < n; j++ {
			sym.SetSym(i, j, h(a, s.order[j]))
		}
		sym.SetSym(i, i, energy[a]+damp)
	}
	var chol mat.Cholesky
	if !chol.Factorize(sym) {
		return nil, fmt.Errorf("the inputs' Gram matrix is not positive definite")
	}
	var inverse mat.SymDense
	if err := chol.InverseTo(&inverse); err != nil {
		return nil, err
	}
	if !chol.Factorize(&inverse) {
		return nil, fmt.Errorf("the inverse of the inputs' Gram matrix is not positive definite")
	}
	var u mat.TriDense
	chol.UTo(&u)
	s.upper = mat.DenseCopyOf(&u)
	return s, nil
}

// round rounds one row w to multiples of step, moving the error of each weight
// to those not yet rounded: w_j -= e R_ij / R_ii. Zeros stay zero, so that
// pruned weights do. It returns what the bias must gain, mean'(w - w').
func (s *solver) round(w []float64, step, limit float64, set func(i int, q int8)) float64 {
	for k, i := range s.order {
		s.work[k] = w[i]
	}
	shift := 0.0
	for k, i := range s.order {
		if w[i] == 0 {
			set(i, 0)
			continue
		}
		q := min(max(math.RoundToEven(s.work[k]/step), -limit), limit)
		set(i, int8(q))
		if s.mean != nil {
			shift += s.mean[i] * (w[i] - q*step)
		}
		r := s.upper.RawRowView(k)
		e := (s.work[k] - q*step) / r[k]
		for j := k + 1; j < len(r); j++ {
			s.work[j] -= e * r[j]
		}
	}
	return shift
}

package quant

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/layerwise"
	"onnxopt/passes/pass"
	"onnxopt/runtime/calibrate"
)

// Smooth divides channels of an activation by a factor each, in what makes it,
// and multiplies the weights that read it, where that is predicted to lower the
// noise of quantized products: an activation has one scale for all channels,
// weights have one for each output. The factors are a^alpha / w^beta for the
// largest magnitudes a of a channel and w of the weights that read it; alpha and
// beta are searched for each activation.
//
// Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for
// Large Language Models", 2023, arXiv 2211.10438 (there beta = 1 - alpha, behind
// LayerNormalization); here behind convolutions and over residual additions too.
var Smooth = pass.Pass{
	Name:   "smooth-activations",
	Doc:    "move the range of outlying channels from activations to the weights that read them (SmoothQuant; --smooth)",
	Effect: pass.Close,
	Run:    smooth,
}

const (
	smoothSamples = 32  // to see channels on
	leastSeen     = 256 // values of a channel, to judge it by
	// leastShare of the largest channel is what others count as at least: of
	// those that samples hardly reach little is known.
	leastShare = 1. / 8
	smoothGain = 0.9 // of the predicted noise, at most, for a change to be worth it
	smoothGrid = 4   // steps of alpha and beta from 0 to 1
)

func smooth(c *pass.Context, m *graph.Model) error {
	switch {
	case c.Calibration != nil:
		if c.Calibration.Set != nil {
			c.Warn("left out: a calibration file is of layers as they are")
		}
		return nil
	case c.Samples == nil || c.Samples.Len() == 0:
		c.Warn("left out: it needs samples")
		return nil
	}
	p, err := newPlan(c, m, silent)
	if err != nil {
		return err
	}
	g := &grower{shapes: c.Shapes(), opset: m.Opset}
	var list []*smoothing
	watch := map[*graph.Value]bool{}
	eachChannels(g, m, func(k *channels) {
		s := &smoothing{channels: k, seen: map[*graph.Value]*moments{}}
		for _, v := range k.values {
			if p.values[v] {
				s.seen[v] = newMoments(k.n)
				watch[v] = true
			}
		}
		for _, r := range k.readers {
			if q := p.nodes[r.node]; q != nil && q.weight == 1 && s.seen[r.node.In(0)] != nil {
				s.products = append(s.products, newReading(r, q.axis, weightLimit(p.s)))
			}
		}
		if len(s.products) > 0 {
			list = append(list, s)
		}
	}, func(n *graph.Node, why string) { c.Kept(n, "input not smoothed: %s", why) })
	if len(list) == 0 {
		return nil
	}
	if err := observeMoments(c, m, list, watch); err != nil {
		return err
	}
	for _, s := range list {
		factors, gain := s.best()
		n := s.readers[0].node
		if factors == nil {
			c.Kept(n, "input not smoothed: no factors lower its noise")
			continue
		}
		if !c.Allow() {
			return nil
		}
		s.scale(factors)
		c.Changed(n, "%s; predicted noise %.0f %%", describeScales(s.channels, factors), 100*gain)
	}
	return nil
}

// smoothing is channels with what samples showed of them.
type smoothing struct {
	*channels
	seen     map[*graph.Value]*moments
	products []*reading
}

// moments is what a value holds in each channel.
type moments struct {
	lo, hi []float32
	square []float64
	count  float64 // of values of a channel
}

func newMoments(n int) *moments {
	return &moments{lo: make([]float32, n), hi: make([]float32, n), square: make([]float64, n)}
}

func observeMoments(c *pass.Context, m *graph.Model, list []*smoothing, watch map[*graph.Value]bool) error {
	of := map[*graph.Value]*smoothing{}
	for _, s := range list {
		for v := range s.seen {
			of[v] = s
		}
	}
	see := func(b *layerwise.Batch, v *graph.Value, t *tensor.Tensor, last bool) {
		s := of[v]
		if s == nil {
			return
		}
		axis := s.axis[v]
		switch {
		case last && axis == 1:
			axis = t.Rank() - 1
		case last && axis > 1:
			axis--
		}
		if axis >= t.Rank() || t.Shape[axis] != s.n {
			return
		}
		d := t.Float32s()
		s.seen[v].add(d[:len(d)/b.Of(t)*b.Parts(t)], s.n, tensor.Strides(t.Shape)[axis])
	}
	span := calibrate.Span{First: 0, End: min(smoothSamples, c.Samples.Len())}
	return layerwise.Sweep(c, m, span, watch, see, c.Progress)
}

// add includes values laid out as [outer, channels, inner].
func (m *moments) add(x []float32, channels, inner int) {
	for k := 0; len(x) >= inner && inner > 0; k = (k + 1) % channels {
		lo, hi, sum := m.lo[k], m.hi[k], float64(0)
		for _, v := range x[:inner] {
			if v-v == 0 {
				lo, hi = min(lo, v), max(hi, v)
				sum += float64(v) * float64(v)
			}
		}
		m.lo[k], m.hi[k] = lo, hi
		m.square[k] += sum
		x = x[inner:]
		if k == 0 {
			m.count += float64(inner)
		}
	}
}

// reading is a product that reads the channels.
type reading struct {
	channelParam
	limit float64
	taps  float64 // weights of one output and channel
	rows  [][]cell
	one   bool // scale for all outputs
}

// cell is the weights from one channel to one output.
type cell struct {
	channel int
	square  float64 // their sum of squares
	largest float64
}

// maxCells bounds the work of predicting the noise of one product: of larger
// weights evenly spaced outputs are taken.
const maxCells = 1 << 16

func newReading(p channelParam, axis int, limit float32) *reading {
	w := p.value().Const()
	out, _ := channelAxis(p.node, 1, w)
	outputs, inner := 1, w.Len()
	if out >= 0 {
		outputs, inner = channelsOf(w, out)
	}
	taps := 1
	if p.node.Is("Conv", "ConvTranspose") {
		taps = tensor.Strides(w.Shape)[1]
	}
	r := &reading{channelParam: p, limit: float64(limit), taps: float64(taps), one: axis < 0}
	cells := w.Len() / taps
	step := (cells + maxCells - 1) / maxCells
	at := make([]map[int]int, (outputs+step-1)/step)
	r.rows = make([][]cell, len(at))
	for i, x := range w.Float32s() {
		o := i / inner % outputs
		if o%step != 0 {
			continue
		}
		o /= step
		if at[o] == nil {
			at[o] = map[int]int{}
		}
		k := p.of(i)
		j, ok := at[o][k]
		if !ok {
			j = len(r.rows[o])
			at[o][k] = j
			r.rows[o] = append(r.rows[o], cell{channel: k})
		}
		y := math.Abs(float64(x))
		r.rows[o][j].square += y * y
		r.rows[o][j].largest = max(r.rows[o][j].largest, y)
	}
	return r
}

// noise is the predicted power of the quantization noise of a product over that
// of its result, with channels divided by s: of the activation, step^2/12 for
// each weight, and of the weights, step^2/12 for each input.
func (r *reading) noise(m *moments, s []float32) float64 {
	var lo, hi float64
	for i := range s {
		lo, hi = min(lo, float64(m.lo[i]/s[i])), max(hi, float64(m.hi[i]/s[i]))
	}
	dx := (hi - lo) / 255
	widest := 0.0
	if r.one {
		for _, row := range r.rows {
			for _, c := range row {
				widest = max(widest, c.largest*float64(s[c.channel]))
			}
		}
	}
	signal, noise := 0.0, 0.0
	for _, row := range r.rows {
		var gain, energy float64
		width := widest
		for _, c := range row {
			f, e := float64(s[c.channel]), m.square[c.channel]/max(m.count, 1)
			signal += c.square * e
			gain += c.square * f * f
			energy += e / (f * f)
			if !r.one {
				width = max(width, c.largest*f)
			}
		}
		dw := width / r.limit
		noise += dx*dx/12*gain + dw*dw/12*energy*r.taps
	}
	if signal == 0 {
		return 0
	}
	return noise / signal
}

func (s *smoothing) noise(f []float32) float64 {
	sum := 0.0
	for _, r := range s.products {
		sum += r.noise(s.seen[r.node.In(0)], f)
	}
	return sum
}

// best is the factors of least predicted noise, and that noise over that without
// factors; nil if they gain too little.
func (s *smoothing) best() (factors []float32, gain float64) {
	a := make([]float64, s.n)
	for _, m := range s.seen {
		if m.count < leastSeen {
			return nil, 1
		}
		for i := range a {
			a[i] = max(a[i], float64(m.hi[i]), float64(-m.lo[i]))
		}
	}
	w := make([]float64, s.n)
	for i, x := range s.largest(s.readers) {
		w[i] = float64(x)
	}
	atLeast(a)
	atLeast(w)
	one := slices.Repeat([]float32{1}, s.n)
	before := s.noise(one)
	least := smoothGain * before
	for alpha := range smoothGrid + 1 {
		for beta := range smoothGrid + 1 {
			f := factorsOf(a, w, float64(alpha)/smoothGrid, float64(beta)/smoothGrid)
			if x := s.noise(f); x < least {
				least, factors = x, f
			}
		}
	}
	if before > 0 {
		gain = least / before
	}
	return factors, gain
}

// factorsOf is a^alpha / w^beta of each channel, with a geometric mean of 1.
func factorsOf(a, w []float64, alpha, beta float64) []float32 {
	log := make([]float64, len(a))
	mean := 0.0
	for i := range log {
		log[i] = alpha*math.Log(a[i]) - beta*math.Log(w[i])
		mean += log[i] / float64(len(a))
	}
	f := make([]float32, len(a))
	for i := range f {
		f[i] = float32(math.Exp(log[i] - mean))
	}
	return f
}

// atLeast raises to leastShare what is smaller.
func atLeast(v []float64) {
	largest := slices.Max(v)
	for i := range v {
		v[i] = max(v[i], largest*leastShare)
		if v[i] == 0 {
			v[i] = 1
		}
	}
}

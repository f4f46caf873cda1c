package quant

import (
	"onnxopt/onnx/graph"
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
	var list systems
	for _, n := range p.order {
		if q := p.nodes[n]; q.weight == 1 {
			list.add(c, m, n, q, !n.Is("MatMul") && n.In(2) != nil)
		}
	}
	limit := weightLimit(c.Settings.Quant)
	start := func(l *layer) *pass.Rounding {
		w := l.node.In(1).Const()
		return &pass.Rounding{Scale: weightScales(w, l.scales, limit), Values: make([]int8, w.Len())}
	}
	return list.solve(c, m, start, func(l *layer, r *pass.Rounding) { c.Rounded[l.node.In(1).Name] = r })
}

// sweep runs the model on a span of the samples; o.Observe gets the values of
// o.Watch, graph inputs among them, of each batch b.
func sweep(c *pass.Context, m *graph.Model, span calibrate.Span, o runtime.Options, b *batch, progress func(done, total int)) error {
	o.Threads = c.Settings.Threads
	s, err := runtime.Compile(m, o)
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
			if i < len(in) && in[i] != nil && o.Watch[v] {
				o.Observe(v, in[i])
			}
		}
		if _, err := s.Run(c, in); err != nil {
			return err
		}
		progress(to-span.First, span.End-span.First)
	}
	return nil
}

package quant

import (
	"onnxopt/onnx/graph"
	"onnxopt/passes/layerwise"
	"onnxopt/passes/pass"
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
	var list layerwise.Systems
	scales := layersToRound(c, m, p, &list, c.Kept)
	limit := weightLimit(c.Settings.Quant)
	start := func(n *graph.Node) *pass.Rounding {
		w := n.In(1).Const()
		return &pass.Rounding{Scale: weightScales(w, scales[n], limit), Values: make([]int8, w.Len())}
	}
	err = roundLayers(c, m, &list, start, func(n *graph.Node, r *pass.Rounding) { c.Rounded[n.In(1).Name] = r })
	c.Grams = nil
	return err
}

// layersToRound puts the layers of a plan among those to round, and returns the
// axes of their scales.
func layersToRound(c *pass.Context, m *graph.Model, p *plan, list *layerwise.Systems, kept func(*graph.Node, string, ...any)) map[*graph.Node]int {
	axes := map[*graph.Node]int{}
	for _, n := range p.order {
		if q := p.nodes[n]; q.weight == 1 {
			axes[n] = q.axis
			addLayer(c, m, list, n, !n.Is("MatMul") && n.In(2) != nil, kept)
		}
	}
	return axes
}

// addLayer puts n among the layers to round, or reports why it is not.
func addLayer(c *pass.Context, m *graph.Model, list *layerwise.Systems, n *graph.Node, bias bool, kept func(*graph.Node, string, ...any)) {
	if reason := list.Add(m, n, c.Samples.Len(), bias); reason != "" {
		kept(n, "weight rounded to nearest: %s", reason)
	}
}

// roundLayers rounds the weights of all layers to the scales of start.
func roundLayers(c *pass.Context, m *graph.Model, list *layerwise.Systems, start func(*graph.Node) *pass.Rounding, done func(*graph.Node, *pass.Rounding)) error {
	limit := weightLimit(c.Settings.Quant)
	return list.Each(c, m, func(s *layerwise.System) {
		groups, reason := s.Solve(0)
		for i, l := range s.Layers {
			if reason != "" {
				c.Kept(l.Node, "weight rounded to nearest: %s", reason)
				continue
			}
			r := start(l.Node)
			if s.Bias {
				r.Shift = make([]float32, l.Channels)
			}
			for _, g := range groups[i] {
				roundGroup(g, limit, r)
			}
			done(l.Node, r)
		}
	})
}

func roundGroup(g *layerwise.Group, limit float32, r *pass.Rounding) {
	errs := g.Rows()
	step := func(c, input int) float32 { return r.Step(g.First+c, input, g.Inputs()) }
	g.Round(errs, g.Count, step, limit, func(c, input int, q int8) { r.Values[g.At(c, input)] = q })
	if r.Shift == nil {
		return
	}
	for c := range g.Count {
		r.Shift[g.First+c] = g.Shift(c, errs)
	}
}

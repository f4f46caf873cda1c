package prune

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/layerwise"
	"onnxopt/passes/pass"
	"onnxopt/runtime/lattice"
)

// Reconstruct sets a share of the weights of each layer to zero, or all but N of
// every M, and moves the others so that the layer's result on the samples
// changes least: optimal brain surgeon, layer by layer, without
// back-propagation. Masks are those of SparseGPT (see lattice.Solver.Prune), the
// weights that stay are then fitted by least squares. Where the layer has a
// bias, it absorbs the mean error.
var Reconstruct = pass.Pass{
	Name:   "prune-reconstruct",
	Doc:    "set weights to zero and fit the others by least squares on the inputs of their layers",
	Effect: pass.Lossy,
	Run:    reconstruct,
}

// refitSteps is the steps of conjugate gradients after pruning: the loss is
// then within a few percent of the least one.
const refitSteps = 10

func reconstruct(c *pass.Context, m *graph.Model) error {
	s := c.Settings.Prune
	if err := check(s); err != nil {
		return err
	}
	switch {
	case s.Sparsity == 0 && s.M == 0:
		return nil
	case s.Global || s.Threshold > 0:
		return fmt.Errorf("each layer is pruned to the same share: no global share, no threshold")
	case s.M > 0 && runLimit%s.M != 0:
		return fmt.Errorf("%d of every %d weights: want a power of two up to %d", s.N, s.M, runLimit)
	case c.Samples == nil || c.Samples.Len() == 0:
		return fmt.Errorf("it needs samples")
	}
	var list layerwise.Systems
	for _, l := range weights(c, m) {
		reason := "its weight is shared"
		if len(l.w.Uses()) == 1 {
			reason = list.Add(m, l.node, c.Samples.Len(), freeBias(l.node))
		}
		if reason != "" {
			c.Kept(l.node, "not pruned: %s", reason)
		}
	}
	return list.Each(c, m, func(system *layerwise.System) {
		groups, reason := system.Solve(s.M)
		for i, l := range system.Layers {
			if reason != "" {
				c.Kept(l.Node, "not pruned: %s", reason)
			} else if c.Allow() {
				w := l.Node.In(1)
				r := &reconstruction{layer: layer{l.Node, w, w.Const().Floats()}}
				if system.Bias {
					r.shift = make([]float64, l.Channels)
				}
				r.solve(groups[i], s)
				r.store(c)
			}
		}
	})
}

// runLimit is what M must divide.
const runLimit = 64

// freeBias reports a bias that can absorb an error: one value for each output.
func freeBias(n *graph.Node) bool {
	b, w := n.In(2), n.In(1).Const()
	if n.Is("MatMul") || b == nil || b.Const() == nil || b.Const().Type != tensor.Float32 || len(b.Uses()) != 1 {
		return false
	}
	t := b.Const()
	if n.Is("Conv") {
		return t.Len() == w.Shape[0]
	}
	outputs := w.Shape[1]
	if n.Int("transB", 0) != 0 {
		outputs = w.Shape[0]
	}
	return n.Float("alpha", 1) == 1 && n.Float("beta", 1) == 1 && t.Len() == outputs && t.Rank() > 0 && t.Shape[t.Rank()-1] == outputs
}

// reconstruction is the new weights of a layer, and the mean errors of its
// outputs where a bias takes them.
type reconstruction struct {
	layer
	shift []float64
}

func (r *reconstruction) solve(groups []*layerwise.Group, s pass.PruneSettings) {
	counts := shares(groups, s.Sparsity)
	for i, g := range groups {
		w := g.Rows()
		was := slices.Clone(w)
		g.Prune(w, g.Count, lattice.Sparsity{Count: counts[i], N: s.N, M: s.M})
		g.Refit(was, w, refitSteps)
		for k := range was {
			r.v[g.At(k/g.Inputs(), g.Order[k%g.Inputs()])] = float64(w[k])
			was[k] -= w[k]
		}
		for c := range len(r.shift) / len(groups) {
			r.shift[g.First+c] = float64(g.Shift(c, was))
		}
	}
}

// shares is how many weights of each group go, the least salient share of all.
func shares(groups []*layerwise.Group, share float64) []int {
	var all []float32
	var of []int
	for i, g := range groups {
		s := g.Saliency(g.Rows())
		all = append(all, s...)
		of = append(of, slices.Repeat([]int{i}, len(s))...)
	}
	counts := make([]int, len(groups))
	for _, at := range lattice.Least(all, int(math.Round(share*float64(len(all))))) {
		counts[of[at]]++
	}
	return counts
}

func (r *reconstruction) store(c *pass.Context) {
	if r.shift != nil {
		b := r.node.In(2)
		t := b.Const()
		v := t.Floats()
		for i := range v {
			v[i] += r.shift[i]
		}
		b.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, t.Shape, v), Doc: b.Data.Doc, Metadata: b.Data.Metadata}
	}
	r.layer.store(c, "the others fitted")
}

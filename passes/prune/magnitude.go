// Package prune holds the passes that remove weights.
package prune

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Magnitude sets the weights of small magnitude to zero (Han et al. 2015,
// arXiv 1506.02626): those up to a threshold, or the smallest share of each
// layer or of all layers together.
var Magnitude = pass.Pass{
	Name:   "prune-magnitude",
	Doc:    "set weights of small magnitude to zero, by threshold or target sparsity",
	Effect: pass.Lossy,
	Run:    magnitude,
}

// layer is one weight that may be pruned.
type layer struct {
	node *graph.Node
	w    *graph.Value
	v    []float64
}

func magnitude(c *pass.Context, m *graph.Model) error {
	s := c.Settings.Prune
	if s.Threshold < 0 || s.Sparsity < 0 || s.Sparsity >= 1 {
		return fmt.Errorf("threshold %v, sparsity %v: want a threshold of at least 0 and a sparsity in [0, 1)", s.Threshold, s.Sparsity)
	}
	layers := weights(c, m)
	var all []float64
	if s.Global {
		for _, l := range layers {
			all = append(all, l.v...)
		}
	}
	for _, l := range layers {
		limit := s.Threshold
		if s.Sparsity > 0 {
			limit = quantile(l.v, s.Sparsity)
			if s.Global {
				limit = quantile(all, s.Sparsity)
			}
		}
		zeros, was := 0, 0
		for i, x := range l.v {
			if x == 0 {
				was++
			}
			if math.Abs(x) <= limit {
				l.v[i] = 0
				zeros++
			}
		}
		if zeros == was {
			c.Kept(l.node, "no weight of %s has a magnitude up to %.4g", l.w.Name, limit)
			continue
		}
		if !c.Allow() {
			return nil
		}
		t := l.w.Const()
		l.w.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, t.Shape, l.v), Doc: l.w.Data.Doc, Metadata: l.w.Data.Metadata}
		c.Changed(l.node, "%d of %d weights of %s are zero (%.1f %%), threshold %.4g",
			zeros, len(l.v), l.w.Name, 100*float64(zeros)/float64(len(l.v)), limit)
	}
	return nil
}

// weights is the constant float weights of the linear operators, each once.
// Layers that cannot be pruned are reported as kept.
func weights(c *pass.Context, m *graph.Model) []layer {
	var out []layer
	seen := map[*graph.Value]bool{}
	for n := range m.Graph.All() {
		r, err := op.Resolve(n, m.Opset)
		if err != nil || r.Quant.Kind != op.QuantInteger || r.Quant.Weight == 0 {
			continue
		}
		w := n.In(r.Quant.Weight)
		switch {
		case w == nil || w.Const() == nil:
			if !n.Is("MatMul") {
				c.Kept(n, "its weight is not constant")
			}
		case !w.Const().Type.IsFloat():
			c.Kept(n, "its weight is %v", w.Const().Type)
		case !seen[w]:
			seen[w] = true
			out = append(out, layer{n, w, w.Const().Floats()})
		}
	}
	return out
}

// quantile is the magnitude below or at which the share of v lies.
func quantile(v []float64, share float64) float64 {
	abs := make([]float64, len(v))
	for i, x := range v {
		abs[i] = math.Abs(x)
	}
	slices.SortFunc(abs, cmp.Compare[float64])
	k := int(math.Round(share * float64(len(abs))))
	if k == 0 {
		return -1
	}
	return abs[k-1]
}

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
// arXiv 1506.02626): those up to a threshold, the smallest share of each
// layer or of all layers together, or all but the N largest of every M.
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
	if err := check(s); err != nil {
		return err
	}
	layers := weights(c, m)
	var all []float64
	if s.Global {
		for _, l := range layers {
			all = append(all, l.v...)
		}
	}
	for _, l := range layers {
		was, detail := l.zeros(), ""
		if s.M > 0 {
			runs := runs(l.node, l.w.Const().Shape, s.M)
			if runs == nil {
				c.Kept(l.node, "it has no runs of inputs")
				continue
			}
			l.largest(runs, s.N)
			detail = fmt.Sprintf("%d of every %d stay", s.N, s.M)
		} else {
			limit := s.Threshold
			switch {
			case s.Sparsity > 0 && s.Global:
				limit = quantile(all, s.Sparsity)
			case s.Sparsity > 0:
				limit = quantile(l.v, s.Sparsity)
			}
			for i, x := range l.v {
				if math.Abs(x) <= limit {
					l.v[i] = 0
				}
			}
			detail = fmt.Sprintf("threshold %.4g", limit)
		}
		if l.zeros() == was {
			c.Kept(l.node, "no weight of %s is to go: %s", l.w.Name, detail)
			continue
		}
		if !c.Allow() {
			return nil
		}
		l.store(c, detail)
	}
	return nil
}

// check refuses settings that mean nothing.
func check(s pass.PruneSettings) error {
	switch {
	case s.Threshold < 0 || s.Sparsity < 0 || s.Sparsity >= 1:
		return fmt.Errorf("threshold %v, sparsity %v: want a threshold of at least 0 and a sparsity in [0, 1)", s.Threshold, s.Sparsity)
	case s.N < 0 || s.M < 0 || s.N > s.M || s.M > 0 && s.N == 0:
		return fmt.Errorf("%d of every %d weights: want 1 to M of M", s.N, s.M)
	}
	return nil
}

func (l *layer) zeros() int {
	n := 0
	for _, x := range l.v {
		if x == 0 {
			n++
		}
	}
	return n
}

// store writes the weights into the model and says how they were chosen.
func (l *layer) store(c *pass.Context, how string) {
	t, zeros := l.w.Const(), l.zeros()
	l.w.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, t.Shape, l.v), Doc: l.w.Data.Doc, Metadata: l.w.Data.Metadata}
	c.Changed(l.node, "%d of %d weights of %s are zero (%.1f %%), %s", zeros, len(l.v), l.w.Name, 100*float64(zeros)/float64(len(l.v)), how)
}

// runs is where every m consecutive inputs of each output are in the weight of
// n; nil for operators whose outputs share no such runs.
func runs(n *graph.Node, shape []int, m int) [][]int {
	size, stride := product(shape), 1
	switch {
	case n.Is("Conv"):
		shape = []int{shape[0], size / max(shape[0], 1)}
	case n.Is("Gemm") && n.Int("transB", 0) != 0:
	case n.Is("Gemm", "MatMul") && len(shape) >= 2: // [..., inputs, outputs]
		stride = shape[len(shape)-1]
		shape = []int{size / max(shape[len(shape)-2], 1), shape[len(shape)-2]}
	default:
		return nil
	}
	var out [][]int
	for o := range shape[0] {
		first := o/stride*stride*shape[1] + o%stride
		for from := 0; from < shape[1]; from += m {
			var run []int
			for i := from; i < min(from+m, shape[1]); i++ {
				run = append(run, first+i*stride)
			}
			out = append(out, run)
		}
	}
	return out
}

// largest keeps the n largest weights of every run.
func (l *layer) largest(runs [][]int, n int) {
	stays, size := make([]float64, len(l.v)), make([]float64, len(l.v))
	for i, x := range l.v {
		size[i] = math.Abs(x)
	}
	pattern(stays, size, runs, n)
	for i, stay := range stays {
		if stay == 0 {
			l.v[i] = 0
		}
	}
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

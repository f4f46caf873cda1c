package prune

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// Channels removes the least important channels, neurons and heads, with all
// weights that make or read them: the tensors become smaller, so every runtime
// becomes faster (Li et al. 2017, arXiv 1608.08710; coupled as in DepGraph, Fang
// et al. 2023, arXiv 2301.12900). A unit counts as the sum, over the layers that
// make or read it, of its weights' square norm relative to the layer's mean.
var Channels = pass.Pass{
	Name:   "prune-channels",
	Doc:    "remove whole channels, neurons and heads of small norm, with the shapes shrunk",
	Effect: pass.Lossy,
	Run:    pruneChannels,
}

// channelMultiple is what numbers of channels are rounded up to where there
// are twice as many: what vector units and blocked layouts take at once.
const channelMultiple = 8

func pruneChannels(c *pass.Context, m *graph.Model) error {
	ratio := c.Settings.Prune.Channels
	if ratio < 0 || ratio >= 1 {
		return fmt.Errorf("channels %v: want a share in [0, 1)", ratio)
	}
	if ratio == 0 {
		return nil
	}
	ch := analyze(m, c.Shapes())
	gone := ch.choose(ratio, c.Allow)
	ch.report(c, gone)
	if len(gone) > 0 {
		ch.shrink(func(units []int) []int { return ch.without(units, gone) })
	}
	return nil
}

// choose is the units to remove, by their roots: from each layer the ratio of
// those that are free and were not decided on with an earlier one.
func (c *channels) choose(ratio float64, allow func() bool) map[int]bool {
	score := c.scores()
	gone, decided := map[int]bool{}, map[int]bool{}
	for _, l := range c.layers {
		roots := c.free(l, decided)
		for _, u := range roots {
			decided[u] = true
		}
		keep := keepCount(len(roots), ratio)
		if keep >= len(roots) || !allow() {
			continue
		}
		slices.SortStableFunc(roots, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
		for _, u := range roots[keep:] {
			gone[u] = true
		}
	}
	c.spare(gone)
	return gone
}

// keepCount is how many of n units stay.
func keepCount(n int, ratio float64) int {
	k := max(1, int(math.Round(float64(n)*(1-ratio))))
	if n >= 2*channelMultiple {
		k = (k + channelMultiple - 1) / channelMultiple * channelMultiple
	}
	return min(k, n)
}

// free is the units of a layer, by their roots, that may go and were not
// decided on with an earlier layer.
func (c *channels) free(l layerUnits, decided map[int]bool) []int {
	var roots []int
	for _, u := range l.units {
		if root := c.root(u); !c.frozen[root] && !decided[root] && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

// scores is the importance of each unit, by its root.
func (c *channels) scores() map[int]float64 {
	score := map[int]float64{}
	for v := range c.m.Graph.Initializers() { // in file order: sums must not depend on the map's
		for _, p := range c.params[v] {
			if p.role != makes && p.role != reads || !v.Const().Type.IsFloat() {
				continue
			}
			norms := squares(v.Const(), p.axis)
			mean := 0.0
			for _, x := range norms {
				mean += x / float64(len(norms))
			}
			for i, u := range p.units {
				score[c.root(u)] += norms[i] / max(mean, math.SmallestNonzeroFloat64)
			}
		}
	}
	return score
}

// report says for every layer what goes and why nothing does.
func (c *channels) report(ctx *pass.Context, gone map[int]bool) {
	for _, l := range c.layers {
		left := len(c.without(l.units, gone))
		frozen := slices.ContainsFunc(l.units, func(u int) bool { return c.frozen[c.root(u)] })
		switch {
		case left < len(l.units):
			ctx.Changed(l.node, "%d of %d channels stay", left, len(l.units))
		case frozen:
			ctx.Kept(l.node, "the number of its channels shows in an output, or in an operator that counts them")
		default:
			ctx.Kept(l.node, "nothing to remove")
		}
	}
}

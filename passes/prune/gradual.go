package prune

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/distill"
	"onnxopt/runtime/grad"
)

// Pattern is which weights may be zero.
type Pattern struct {
	// PerLayer asks the density of every layer instead of all together.
	PerLayer bool
	// N and M, when set, keep the N most salient of every M consecutive weights
	// along an output's inputs, as 2:4 does; Density then counts for nothing.
	N, M int
	// Block, when above 1, keeps or drops so many consecutive weights together.
	Block int
}

// Gradual prunes during training: density falls to its target, masks are chosen
// anew every few steps from all weights, and a dropped weight goes on being
// trained by the gradient of its masked value, so that it may return until the
// masks freeze (Lin et al., "Dynamic Model Pruning with Feedback", 2020).
// Saliency is |w|*sqrt(v) with v Adam's second moment, an empirical Fisher
// information.
type Gradual struct {
	Pattern
	From      float64 // share of weights kept at the start; 0 is 1
	Density   float64 // and at the end
	Ramp      float64 // share of the steps over which density falls; 0 is 0.5
	Freeze    float64 // share of the steps after which masks stay; 0 is 0.8
	Every     int     // steps between choices; 0 is 5
	Magnitude bool    // saliency |w| alone

	Masks   [][]float32 // 1 or 0, by parameter; nil where the parameter is not pruned
	score   [][]float32
	runs    [][][]int // with M set: of each parameter, the M inputs of an output
	ordered []float32
}

// Start makes the masks for the parameters of t, which trains m: all ones, or
// with From below 1 zero where weights are. It takes over t.Derive. prunable
// names the parameters.
func (g *Gradual) Start(t *distill.Trainer, m *graph.Model, prunable func(i int) bool) error {
	if g.Density <= 0 || g.Density > 1 || g.N > g.M || g.N < 0 {
		return fmt.Errorf("density %v, %d of %d: want a density in (0, 1] and at most M of M", g.Density, g.N, g.M)
	}
	if g.Ramp == 0 {
		g.Ramp = 0.5
	}
	if g.Freeze == 0 {
		g.Freeze = 0.8
	}
	if g.Every == 0 {
		g.Every = 5
	}
	if g.From == 0 {
		g.From = 1
	}
	n := len(t.Program.Params)
	g.Masks, g.score, g.runs = make([][]float32, n), make([][]float32, n), make([][][]int, n)
	total := 0
	for i, q := range t.Program.Params {
		if !prunable(i) {
			continue
		}
		t.Own(i)
		g.Masks[i], g.score[i] = make([]float32, len(q.Value)), make([]float32, len(q.Value))
		for k, x := range q.Value {
			if x != 0 || g.From == 1 {
				g.Masks[i][k] = 1
			}
		}
		if g.M > 0 {
			g.runs[i] = g.runsOf(m, q)
		}
		total += len(q.Value)
	}
	if total == 0 {
		return fmt.Errorf("the model has no weights to prune")
	}
	g.ordered = make([]float32, total)
	t.Derive = g.derive
	return nil
}

// DensityAt is the share kept at a step of so many: it falls by the same
// factor in every step of the ramp.
func (g *Gradual) DensityAt(step, steps int) float64 {
	x := min(float64(step)/(g.Ramp*float64(steps)), 1)
	return g.From * math.Pow(g.Density/g.From, x)
}

func (g *Gradual) derive(t *distill.Trainer) {
	if t.Step%g.Every == 0 && float64(t.Step) <= g.Freeze*float64(t.Steps()) {
		g.choose(t)
	}
	g.Apply(t)
}

// Apply sets the values of pruned parameters: latent times mask.
func (g *Gradual) Apply(t *distill.Trainer) {
	for i, mask := range g.Masks {
		if len(mask) == 0 {
			continue
		}
		grad.Mask(t.Program.Params[i].Value, t.Latent[i], mask)
	}
}

// choose ranks all weights by the square of their saliency.
func (g *Gradual) choose(t *distill.Trainer) {
	for i, s := range g.score {
		if s == nil {
			continue
		}
		w, v := t.Latent[i][:len(s)], t.Adam.V[i][:len(s)]
		for k := range s {
			if s[k] = w[k] * w[k]; !g.Magnitude {
				s[k] *= v[k]
			}
		}
		if g.Block > 1 {
			blocks(s, g.Block)
		}
	}
	density := g.DensityAt(t.Step, t.Steps())
	switch {
	case g.M > 0:
		for i, s := range g.score {
			if s != nil {
				pattern(g.Masks[i], s, g.runs[i], g.N)
			}
		}
	case g.PerLayer:
		for i, s := range g.score {
			if s != nil {
				keep(g.Masks[i], s, threshold(s, int(math.Round(density*float64(len(s))))))
			}
		}
	default:
		at := 0
		for _, s := range g.score {
			at += copy(g.ordered[at:], s)
		}
		limit := threshold(g.ordered, int(math.Round(density*float64(len(g.ordered)))))
		for i, s := range g.score {
			if s != nil {
				keep(g.Masks[i], s, limit)
			}
		}
	}
}

// blocks gives every score the mean of its block.
func blocks(s []float32, size int) {
	for at := 0; at < len(s); at += size {
		b := s[at:min(at+size, len(s))]
		sum := float32(0)
		for _, x := range b {
			sum += x
		}
		for k := range b {
			b[k] = sum / float32(len(b))
		}
	}
}

// keep masks by a lowest score. Scores of 0 are dropped.
func keep(mask, score []float32, limit float32) {
	for k, s := range score {
		mask[k] = 0
		if s >= limit && s > 0 {
			mask[k] = 1
		}
	}
}

// runsOf is the runs of a parameter as the layer that reads it sums over them;
// of others M consecutive elements.
func (g *Gradual) runsOf(m *graph.Model, q *grad.Param) [][]int {
	if v := m.Graph.Find(q.Name); v != nil {
		for _, u := range v.Uses() {
			if u.Node != nil && u.Index == 1 {
				if r := runs(u.Node, q.Shape, g.M); r != nil {
					return r
				}
			}
		}
	}
	all := make([]int, len(q.Value))
	for i := range all {
		all[i] = i
	}
	return slices.Collect(slices.Chunk(all, g.M))
}

// pattern keeps the n highest scores of every run, the first of equals.
func pattern[T float32 | float64](mask, score []T, runs [][]int, n int) {
	for _, run := range runs {
		for k, at := range run {
			rank := 0
			for j, other := range run {
				if x, y := score[at], score[other]; y > x || y == x && j < k {
					rank++
				}
			}
			mask[at] = 0
			if rank < n {
				mask[at] = 1
			}
		}
	}
}

// threshold is the k-th largest of non-negative scores, by radix selection:
// their bits order as they do.
func threshold(score []float32, k int) float32 {
	if k <= 0 {
		return float32(math.Inf(1))
	}
	if k >= len(score) {
		return 0
	}
	var count [1 << 16]int32
	for _, s := range score {
		count[math.Float32bits(s)>>16]++
	}
	rank, high := int32(k), uint32(len(count)-1)
	for ; count[high] < rank; high-- {
		rank -= count[high]
	}
	clear(count[:])
	for _, s := range score {
		if b := math.Float32bits(s); b>>16 == high {
			count[b&0xffff]++
		}
	}
	low := uint32(len(count) - 1)
	for ; count[low] < rank; low-- {
		rank -= count[low]
	}
	return math.Float32frombits(high<<16 | low)
}

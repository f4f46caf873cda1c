package prune

import (
	"cmp"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
)

// Importance is what each unit of a model is worth: by the root of the unit, as
// the analysis of the same model numbers them.
type Importance map[int]float64

// Norms is the importance of which Channels speaks.
func Norms(m *graph.Model) Importance { return analyze(m, shape.Infer(m)).scores() }

// lanes is the channels that runtimes compute at once: fewer cost as many.
const lanes = 16

// launch is the multiplications that take as long as starting a layer: 1.6 us of
// onnxruntime on one thread, fitted to ResNet-8 in seven sizes from 13 to 55 us.
const launch = 100_000

// Cost is about the time that the linear layers of m take on one sample:
// multiplications, for numbers of channels rounded up to lanes, and their launch.
func Cost(m *graph.Model) float64 { return analyze(m, shape.Infer(m)).cost(nil) }

func (c *channels) cost(gone map[int]bool) float64 {
	sum := 0.0
	for _, l := range c.layers {
		w := l.node.In(1)
		if w.Const() == nil {
			continue
		}
		product := float64(c.positions(l.node))
		for axis, d := range w.Const().Shape {
			if units := c.labels[w].at(axis); units != nil {
				d = (c.left(units, gone) + lanes - 1) / lanes * lanes
			}
			product *= float64(d)
		}
		sum += product + launch
	}
	return sum
}

// left is how many units stay.
func (c *channels) left(units []int, gone map[int]bool) int {
	n := 0
	for _, u := range units {
		if !gone[c.root(u)] {
			n++
		}
	}
	return n
}

// positions is how often a layer applies its weights to a sample, as far as
// shapes tell.
func (c *channels) positions(n *graph.Node) int {
	out, ok := c.shapeOf(n.Out(0))
	if !ok || len(out) < 3 {
		return 1
	}
	out = slices.Clone(out)
	channel := len(out) - 1
	if n.Is("Conv", "ConvTranspose") {
		channel = 1
	}
	p := 1
	for axis, d := range out[1:] {
		if axis+1 != channel && d > 0 {
			p *= d
		}
	}
	return p
}

// Slim removes channels, neurons and heads until Cost is a share of what it is,
// always those that are worth least for what they cost: the criterion of Theis
// et al. 2018 (arXiv 1801.05787) with multiplications as the cost. It goes in
// steps that lower Cost, so it leaves numbers of channels that vector units
// like. It returns how many units went.
func Slim(m *graph.Model, worth Importance, share float64) int {
	c := analyze(m, shape.Infer(m))
	var groups [][]int // free units of layers, by falling worth
	decided, gone := map[int]bool{}, map[int]bool{}
	for _, l := range c.layers {
		roots := c.free(l, decided)
		for _, u := range roots {
			decided[u] = true
		}
		slices.SortStableFunc(roots, func(a, b int) int { return cmp.Compare(worth[b], worth[a]) })
		groups = append(groups, roots)
	}
	cost := c.cost(gone)
	for target := share * cost; cost > target; {
		best, least, after := -1, 0.0, 0.0
		var drop []int
		for i, g := range groups {
			d, next := c.cheaper(g, gone, cost)
			if next >= cost {
				continue
			}
			value := 0.0
			for _, u := range d {
				value += worth[u]
			}
			if value /= cost - next; best < 0 || value < least {
				best, least, drop, after = i, value, d, next
			}
		}
		if best < 0 {
			break
		}
		for _, u := range drop {
			gone[u] = true
		}
		groups[best] = groups[best][:len(groups[best])-len(drop)]
		cost = after
	}
	c.spare(gone)
	c.shrink(func(units []int) []int { return c.without(units, gone) })
	return len(gone)
}

// cheaper is the fewest last units of a group, but one, without which the cost
// is lower.
func (c *channels) cheaper(group []int, gone map[int]bool, cost float64) (drop []int, after float64) {
	after = cost
	for k := len(group) - 1; k > 0 && after >= cost; k-- {
		gone[group[k]] = true
		drop = group[k:]
		after = c.cost(gone)
	}
	for _, u := range drop {
		delete(gone, u)
	}
	return drop, after
}

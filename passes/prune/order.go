package prune

import (
	"cmp"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// SortUnits puts hidden channels and neurons in the order of their biases. The
// order means nothing to the network, so log2(n!) bits of it need not be
// stored: the entropy-coded container takes rising biases for much less.
var SortUnits = pass.Pass{
	Name:   "sort-units",
	Doc:    "order hidden channels and neurons by bias, which packs smaller",
	Effect: pass.Close,
	Run:    sortUnits,
}

func sortUnits(c *pass.Context, m *graph.Model) error {
	ch := analyze(m, c.Shapes())
	place := map[int]int{} // of a unit: whose content comes into its place
	for _, l := range ch.layers {
		key, ok := ch.biases(l)
		if !ok || slices.IsSorted(key) || !ch.movable(l, place) {
			continue
		}
		if !c.Allow() {
			break
		}
		order := make([]int, len(key))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(key[i], key[j]) })
		for i, from := range order {
			place[ch.root(l.units[i])] = ch.root(l.units[from])
		}
		c.Changed(l.node, "%d units ordered by bias", len(key))
	}
	if len(place) > 0 {
		ch.shrink(func(units []int) []int { return ch.permute(units, place) })
	}
	return nil
}

// biases is the bias of each unit of a layer.
func (c *channels) biases(l layerUnits) ([]float64, bool) {
	b := l.node.In(2)
	if b == nil || b.Const() == nil || b.Const().Len() != len(l.units) {
		return nil, false
	}
	return b.Const().Floats(), true
}

// movable reports that the units of a layer are free, different, not placed
// yet, and stand equally often along every axis.
func (c *channels) movable(l layerUnits, placed map[int]int) bool {
	mine := map[int]bool{}
	for _, u := range l.units {
		root := c.root(u)
		if _, done := placed[root]; done || c.frozen[root] || mine[root] {
			return false
		}
		mine[root] = true
	}
	for _, list := range c.params {
		for _, p := range list {
			count := map[int]int{}
			for _, u := range p.units {
				if root := c.root(u); mine[root] {
					count[root]++
				}
			}
			if len(count) > 0 && len(count) != len(mine) {
				return false
			}
			for _, n := range count {
				if n != len(p.units)/len(mine) && n != count[c.root(l.units[0])] || p.role == follows {
					return false
				}
			}
		}
	}
	return true
}

// permute is the position that comes into each place: where a unit stands for
// the k-th time comes the k-th place of the unit that takes its place.
func (c *channels) permute(units []int, place map[int]int) []int {
	at := map[int][]int{}
	for i, u := range units {
		root := c.root(u)
		at[root] = append(at[root], i)
	}
	seen := map[int]int{}
	out := make([]int, len(units))
	for i, u := range units {
		root := c.root(u)
		from := root
		if p, ok := place[root]; ok {
			from = p
		}
		out[i] = at[from][seen[root]]
		seen[root]++
	}
	return out
}

package prune

import (
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// PadChannels fills the channels of convolutions up with zeros to a multiple of
// padMultiple. An odd number, as is left when dead channels are removed, keeps
// onnxruntime from its blocked layout, which costs up to twice the time; zeros
// cost next to nothing where weights are coded.
var PadChannels = pass.Pass{
	Name:   "pad-channels",
	Doc:    "fill numbers of convolution channels up with zeros to multiples of four, for runtimes with blocked layouts",
	Effect: pass.Close,
	Run:    padChannels,
}

// padMultiple is what onnxruntime's reordering into blocks of 8 or 16 channels
// takes at once. Whole blocks were not faster.
const padMultiple = 4

func padChannels(c *pass.Context, m *graph.Model) error {
	ch := analyze(m, c.Shapes())
	more := map[int]int{} // of a unit, by its root: copies that come behind it
	for _, l := range ch.layers {
		if !l.node.Is("Conv") || len(l.units) < 2*padMultiple {
			continue
		}
		k := ch.padding(l, more, padMultiple)
		if k == 0 {
			continue
		}
		if !c.Allow() {
			break
		}
		more[ch.root(l.units[len(l.units)-1])] = k
		c.Changed(l.node, "%d channels of zeros behind %d", k, len(l.units))
	}
	if len(more) > 0 {
		ch.pad(more)
	}
	return nil
}

// padding is how many units a layer lacks to the next multiple; 0 if none can
// be added, for the layer's units are not free, or not each by itself.
func (c *channels) padding(l layerUnits, more map[int]int, multiple int) int {
	seen := map[int]bool{}
	for _, u := range l.units {
		root := c.root(u)
		if c.frozen[root] || seen[root] || more[root] > 0 {
			return 0
		}
		seen[root] = true
	}
	return (multiple - len(l.units)%multiple) % multiple
}

// behind is the positions of an axis with copies of runs of units behind them,
// and which of these are copies.
func (c *channels) behind(units []int, more map[int]int) (at []int, isCopy []bool) {
	for from := 0; from < len(units); {
		root, to := c.root(units[from]), from+1
		for to < len(units) && c.root(units[to]) == root {
			to++
		}
		for k := range 1 + more[root] {
			for i := from; i < to; i++ {
				at, isCopy = append(at, i), append(isCopy, k > 0)
			}
		}
		from = to
	}
	return at, isCopy
}

// pad puts copies behind units, and zeroes what they are made and read by.
// Scales and statistics of nodes of their own stay: a zero may be divided by.
func (c *channels) pad(more map[int]int) {
	c.shrink(func(units []int) []int { at, _ := c.behind(units, more); return at })
	for v, list := range c.params {
		for _, p := range list {
			if p.role == shifts && !p.node.Is("Conv") {
				continue
			}
			_, isCopy := c.behind(p.units, more)
			t := v.Data.Tensor
			size := product(t.Shape[p.axis+1:]) * t.Type.Bits() / 8
			for i, b := 0, t.Bytes(); i*size < len(b); i++ {
				if isCopy[i%len(isCopy)] {
					clear(b[i*size : (i+1)*size])
				}
			}
		}
	}
}

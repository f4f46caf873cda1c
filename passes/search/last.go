package search

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/quant"
)

// The last layers stay float where that costs at most this share of the bytes
// of weights and of the products, and the outputs gain so many dB: a fifth of
// the noise. Weights of 16 bits instead of 8 must gain as much again.
const (
	cheapShare = 0.01
	cheapGain  = 1
)

// spareLast leaves in float the last layers, from which no other is reached, if
// that costs next to nothing and they make much of the noise: nothing behind them
// averages it out. db is the SQNR of the outputs with all of layers quantized.
func (t *trial) spareLast(layers []string, db float64) (spared []string, err error) {
	last := t.cheapLast(layers)
	if len(last) == 0 || t.incomparable || t.c.Runs(quant.QOperator.Name) {
		return nil, nil
	}
	titles := make([]string, len(last))
	for i, n := range last {
		titles[i] = quant.Title(n)
	}
	half, err := t.sqnr(titles, checks, quant.Insert, quant.Weights)
	if err != nil || half < db+cheapGain {
		return nil, err
	}
	t.float = titles
	float, err := t.sqnr(nil, checks, quant.Insert, quant.Weights)
	t.float = nil
	if err != nil {
		return nil, err
	}
	q, bits, have := &t.c.Settings.Quant, "8", float
	if half < float+cheapGain {
		q.Float = slices.Concat(q.Float, titles)
	} else {
		q.Half, bits, have = slices.Concat(q.Half, titles), "at least 16", half
	}
	for _, n := range last {
		t.c.Kept(n, "last layer, under %.0f %% of weights and products: in float, with weights of %s bits, outputs have %.1f dB instead of %.1f", 100*cheapShare, bits, have, db)
	}
	return titles, nil
}

// cheapLast is the nodes among layers behind which there is no other, if
// together they are cheap.
func (t *trial) cheapLast(layers []string) []*graph.Node {
	var last []*graph.Node
	before := map[*graph.Node]bool{} // what is a layer, or has one behind it
	for n := range t.m.Graph.Backward() {
		layer, behind := slices.Contains(layers, quant.Title(n)), false
		for _, v := range n.Outputs() {
			behind = behind || v != nil && slices.ContainsFunc(v.Uses(), func(u graph.Use) bool { return before[t.inMain(u.Node)] })
		}
		if layer && !behind {
			last = append(last, n)
		}
		before[n] = layer || behind
	}
	var bytes, extra int // of weights in 8 bits, and in float instead
	var all, work int64
	for v := range t.m.Graph.Initializers() {
		if w := v.Const(); w != nil && w.Type == tensor.Float32 {
			bytes += w.Len()
		}
	}
	for _, k := range t.work {
		all += k
	}
	for _, n := range last {
		work += t.work[n]
		for _, v := range n.Inputs() {
			if w := v.Const(); w != nil && w.Len() >= quant.MinWeight {
				extra += w.Len() // in float16
			} else if w != nil {
				extra += 3 * w.Len()
			}
		}
	}
	if float64(extra) > cheapShare*float64(bytes) || float64(work) > cheapShare*float64(all) {
		return nil
	}
	return last
}

// inMain is the node of the main graph that is n or holds it; nil of nil.
func (t *trial) inMain(n *graph.Node) *graph.Node {
	for n != nil && n.Graph() != t.m.Graph {
		n = n.Graph().Parent()
	}
	return n
}

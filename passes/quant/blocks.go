package quant

import (
	"fmt"
	"math"
	"math/bits"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/layerwise"
	"onnxopt/passes/pass"
)

// Blocks stores the weights of float products in 8 or 4 bits with a scale for
// each block of inputs, rounded by least squares on samples if there are any
// (see Round). The written form is DequantizeLinear with a block size, or
// MatMulNBits of com.microsoft on request. Gemm becomes MatMul and Add: runtimes
// join only MatMul with its weight, and one mistakes blocks of a transposed one.
var Blocks = pass.Pass{
	Name:   "quantize-blocks",
	Doc:    "store weights of float MatMul and Gemm in 8 or 4 bits with a scale for each block of inputs (--block)",
	Effect: pass.Lossy,
	Run:    quantizeBlocks,
}

func quantizeBlocks(c *pass.Context, m *graph.Model) error {
	s := c.Settings.Quant
	switch {
	case s.BlockSize == 0:
		return nil
	case s.BlockSize < 0 || s.NBits && (s.BlockSize < 16 || bits.OnesCount(uint(s.BlockSize)) != 1):
		return fmt.Errorf("blocks of %d: want a positive number, for MatMulNBits a power of two from 16 on", s.BlockSize)
	case m.Opset("") < Bits16Opset && !s.NBits:
		return fmt.Errorf("blocks need opset %d; the model imports %d", Bits16Opset, m.Opset(""))
	}
	var nodes []*graph.Node
	for n := range m.Graph.Nodes() {
		if !n.Is("MatMul", "Gemm") || n.In(1).Const() == nil {
			continue
		}
		if reason := blockless(n, s); reason != "" {
			c.Kept(n, "no blocks: %s", reason)
			continue
		}
		nodes = append(nodes, n)
	}
	rounded, err := roundBlocks(c, m, nodes)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !c.Allow() {
			return nil
		}
		r := rounded[n]
		if r == nil {
			r = nearest(n, s)
		}
		how := "DequantizeLinear"
		if s.NBits {
			m.SetOpset("com.microsoft", max(m.Opset("com.microsoft"), 1))
			how = "MatMulNBits"
		}
		b := &blocked{n.Graph(), s, r, n.In(1)}
		b.replace(n)
		c.Changed(n, "weight %v in blocks of %d, %s", weightType(s), r.Block, how)
	}
	return nil
}

// blockless says why the weight of n gets no blocks, "" if it does.
func blockless(n *graph.Node, s pass.QuantSettings) string {
	w := n.In(1).Const()
	switch {
	case w.Type != tensor.Float32 || w.Rank() != 2 || w.Len() < MinWeight:
		return fmt.Sprintf("its weight is %v", w)
	case len(n.In(1).Uses()) > 1:
		return "its weight is shared"
	case skipped(n, s):
		return "skipped on request"
	case blockSize(n, s) < min(leastBlock, s.BlockSize) || w.Shape[1-productAxis(n)] <= s.BlockSize && !s.NBits:
		return fmt.Sprintf("its %d inputs are no whole blocks", w.Shape[1-productAxis(n)])
	case n.Is("Gemm") && (n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 || n.Int("transA", 0) != 0):
		return "alpha, beta or transA is set"
	}
	return ""
}

// leastBlock is the smallest block made of an asked larger one.
const leastBlock = 16

// blockSize is the asked size of a block, or half of it and so on until the
// inputs of n are whole blocks: OpenVINO takes no others.
func blockSize(n *graph.Node, s pass.QuantSettings) int {
	size := s.BlockSize
	for !s.NBits && size > 0 && n.In(1).Const().Shape[1-productAxis(n)]%size != 0 {
		size /= 2
	}
	return size
}

// productAxis is the axis of the output channels of the weight of a product.
func productAxis(n *graph.Node) int {
	if n.Is("Gemm") {
		return gemmAxis(n)
	}
	return 1
}

// roundBlocks chooses roundings on the samples; nodes without one are left out.
func roundBlocks(c *pass.Context, m *graph.Model, nodes []*graph.Node) (map[*graph.Node]*pass.Rounding, error) {
	out := map[*graph.Node]*pass.Rounding{}
	if c.Samples == nil || c.Samples.Len() == 0 {
		return out, nil
	}
	var list layerwise.Systems
	for _, n := range nodes {
		addLayer(c, m, &list, n, false, c.Kept)
	}
	err := roundLayers(c, m, &list, func(n *graph.Node) *pass.Rounding { return blockSteps(n, c.Settings.Quant) },
		func(n *graph.Node, r *pass.Rounding) { out[n] = r })
	return out, err
}

// blockSteps is the scales of the blocks of n's weight, [channels][blocks], and
// no values yet.
func blockSteps(n *graph.Node, s pass.QuantSettings) *pass.Rounding {
	w := n.In(1).Const()
	v, limit := w.Float32s(), weightLimit(s)
	k, channels := w.Shape[1-productAxis(n)], w.Shape[productAxis(n)]
	r := &pass.Rounding{Block: blockSize(n, s), Values: make([]int8, len(v))}
	block := make([]float32, 0, r.Block)
	for c := range channels {
		for from := 0; from < k; from += r.Block {
			block = block[:0]
			largest := float32(0)
			for i := from; i < min(from+r.Block, k); i++ {
				x := v[weightAt(n, w, c, i)]
				block, largest = append(block, x), max(largest, float32(math.Abs(float64(x))))
			}
			scale := []float32{largest / limit}
			refineScales(block, scale, len(block), limit)
			if !(scale[0] > 1e-30) {
				scale[0] = 1
			}
			r.Scale = append(r.Scale, scale[0])
		}
	}
	return r
}

// weightAt is where the weight from an input to a channel of a product is.
func weightAt(n *graph.Node, w *tensor.Tensor, channel, input int) int {
	if productAxis(n) == 0 {
		return channel*w.Shape[1] + input
	}
	return input*w.Shape[1] + channel
}

// nearest rounds each weight to the nearest multiple of its block's scale.
func nearest(n *graph.Node, s pass.QuantSettings) *pass.Rounding {
	r := blockSteps(n, s)
	w := n.In(1).Const()
	v, limit := w.Float32s(), float64(weightLimit(s))
	k, channels := w.Shape[1-productAxis(n)], w.Shape[productAxis(n)]
	for c := range channels {
		for i := range k {
			at := weightAt(n, w, c, i)
			r.Values[at] = int8(min(max(math.RoundToEven(float64(v[at]/r.Step(c, i, k))), -limit), limit))
		}
	}
	return r
}

// blocked writes one product with a rounded weight.
type blocked struct {
	g *graph.Graph
	s pass.QuantSettings
	r *pass.Rounding
	w *graph.Value
}

func (b *blocked) replace(n *graph.Node) {
	w := b.w.Const()
	k, channels := w.Shape[1-productAxis(n)], w.Shape[productAxis(n)]
	var bias *graph.Value
	if n.Is("Gemm") {
		bias = n.In(2)
	}
	var y *graph.Value
	if b.s.NBits {
		y = b.nBits(n, k, channels)
	} else {
		y = b.g.Add(n, "MatMul", n.Out(0).Name, []*graph.Value{n.In(0), b.dequantized(n, k, channels)})
	}
	if bias != nil {
		y = b.g.Add(n, "Add", n.Out(0).Name, []*graph.Value{y, bias})
	}
	y.Def().Name = n.Name
	n.Out(0).Supersede(y)
	b.g.Remove(n)
}

// dequantized is the weight as [inputs, channels], blocks along axis 0.
func (b *blocked) dequantized(n *graph.Node, k, channels int) *graph.Value {
	w, blocks := b.w.Const(), (k+b.r.Block-1)/b.r.Block
	q := tensor.BuildInts(weightType(b.s), []int{k, channels}, func(from int, v []int64) {
		for i := range v {
			v[i] = int64(b.r.Values[weightAt(n, w, (from+i)%channels, (from+i)/channels)])
		}
	})
	scale := make([]float32, blocks*channels)
	for i := range scale {
		scale[i] = b.r.Scale[i%channels*blocks+i/channels]
	}
	return b.g.Add(n, "DequantizeLinear", "d", []*graph.Value{
		b.g.AddInitializer(b.w.Name+"_q", &graph.Data{Tensor: q}),
		b.g.AddInitializer("s", &graph.Data{Tensor: tensor.Of([]int{blocks, channels}, scale)}),
	}, graph.Int("axis", 0), graph.Int("block_size", int64(b.r.Block)))
}

// nBits is the product as MatMulNBits: rows of blocks, each padded to its whole
// size, values of zero point 2^(bits-1), low bits first.
func (b *blocked) nBits(n *graph.Node, k, channels int) *graph.Value {
	w, width, blocks := b.w.Const(), weightType(b.s).Bits(), (k+b.r.Block-1)/b.r.Block
	blob := b.r.Block * width / 8
	q := make([]uint8, channels*blocks*blob)
	for c := range channels {
		for i := range blocks * b.r.Block {
			x := 1 << (width - 1)
			if i < k {
				x += int(b.r.Values[weightAt(n, w, c, i)])
			}
			q[c*blocks*blob+i*width/8] |= uint8(x << (i * width % 8))
		}
	}
	node := b.g.NewNode("MatMulNBits", []*graph.Value{n.In(0),
		b.g.AddInitializer(b.w.Name+"_q", &graph.Data{Tensor: tensor.Of([]int{channels, blocks, blob}, q)}),
		b.g.AddInitializer("s", &graph.Data{Tensor: tensor.Of([]int{channels * blocks}, b.r.Scale)}),
	}, []string{b.g.Fresh(n.Out(0).Name)}, graph.Int("K", int64(k)), graph.Int("N", int64(channels)), graph.Int("bits", int64(width)),
		graph.Int("block_size", int64(b.r.Block)))
	node.Domain = "com.microsoft"
	b.g.InsertBefore(n, node)
	return node.Out(0)
}

package quant

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// Equalize scales channels between layers so that each has the same range in
// the weights that make it and in those that read it, which one scale for a
// whole weight then serves better: x/s and w*s with s = sqrt(r1/r2) for
// max|w| = r1 and r2. The factors are powers of two, so that products and sums
// keep every bit.
//
// Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization Through Weight
// Equalization and Bias Correction", 2019, arXiv 1906.04721, section 4.1, over
// residual additions and pools too.
var Equalize = pass.Pass{
	Name:   "equalize-layers",
	Doc:    "scale channels between layers to equal ranges in both their weights (cross-layer equalization; --equalize)",
	Effect: pass.Close,
	Run:    equalize,
}

// equalizeRounds bounds the sweeps over the layers, which share weights.
const equalizeRounds = 20

func equalize(c *pass.Context, m *graph.Model) error {
	g := &grower{shapes: c.Shapes(), opset: m.Opset}
	var list []*channels
	var totals [][]float32
	eachChannels(g, m, func(k *channels) {
		for _, p := range k.makers {
			if p.node.Is("LayerNormalization", "RMSNormalization", "BatchNormalization", "InstanceNormalization", "Mul") {
				return // not quantized: their range costs nothing
			}
		}
		if c.Allow() {
			list = append(list, k)
		}
	}, func(n *graph.Node, why string) { c.Kept(n, "input not equalized: %s", why) })
	for _, k := range list {
		total := make([]float32, k.n)
		for i := range total {
			total[i] = 1
		}
		totals = append(totals, total)
	}
	for range equalizeRounds {
		moved := false
		for i, k := range list {
			s := k.balance()
			for j := range s {
				moved = moved || s[j] != 1
				totals[i][j] *= s[j]
			}
			if slices.ContainsFunc(s, func(x float32) bool { return x != 1 }) {
				k.scale(s)
			}
		}
		if !moved {
			break
		}
	}
	for i, k := range list {
		if !slices.ContainsFunc(totals[i], func(x float32) bool { return x != 1 }) {
			c.Kept(k.readers[0].node, "input not equalized: its channels are equal already")
			continue
		}
		c.Changed(k.readers[0].node, "%s", describeScales(k, totals[i]))
	}
	return nil
}

// balance is the power of two nearest to sqrt(r1/r2) of each channel.
func (c *channels) balance() []float32 {
	made, read := c.largest(c.makers), c.largest(c.readers)
	s := make([]float32, c.n)
	for i := range s {
		s[i] = 1
		if made[i] > 0 && read[i] > 0 {
			s[i] = powerOfTwo(math.Sqrt(float64(made[i]) / float64(read[i])))
		}
	}
	return s
}

// powerOfTwo is the one nearest to x by ratio, within 2^-20 and 2^20: beyond,
// weights may underflow.
func powerOfTwo(x float64) float32 {
	return float32(math.Exp2(math.Round(min(max(math.Log2(x), -20), 20))))
}

func describeScales(c *channels, s []float32) string {
	lo, hi := s[0], s[0]
	for _, x := range s {
		lo, hi = min(lo, x), max(hi, x)
	}
	return fmt.Sprintf("%d input channels scaled by %g to %g, %d layers undo it", c.n, lo, hi, len(c.makers))
}

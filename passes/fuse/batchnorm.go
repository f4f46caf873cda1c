// Package fuse holds the passes that merge operators.
package fuse

import (
	"math"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// BatchNorm folds an inference BatchNormalization into the convolution, Gemm or
// MatMul before it, or into the one behind it: with s = gamma/sqrt(var+eps),
// y = s*x + (beta - mean*s) for each channel.
var BatchNorm = pass.Pass{
	Name:   "fuse-batchnorm",
	Doc:    "fold BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before or behind it",
	Group:  "simplify",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{{Ops: []string{"BatchNormalization"}, Apply: fuseBatchNorm}})
		return nil
	},
}

// batchNormAt is n as an affine map of the axis 1; false in training mode or
// with parameters that are not constant.
func batchNormAt(n *graph.Node) (affine, bool) {
	if n.Int("training_mode", 0) != 0 || len(n.Outputs()) > 1 || n.Attr("spatial") != nil && n.Int("spatial", 1) == 0 {
		return affine{}, false
	}
	params := make([][]float64, 4) // gamma, beta, mean, var
	for i := range params {
		t := n.In(i + 1).Const()
		if t == nil || t.Rank() != 1 || i > 0 && t.Len() != len(params[0]) {
			return affine{}, false
		}
		params[i] = t.Floats()
	}
	eps := float64(n.Float("epsilon", 1e-5))
	scale, shift := make([]float64, len(params[0])), make([]float64, len(params[0]))
	for i := range scale {
		scale[i] = params[0][i] / math.Sqrt(params[3][i]+eps)
		shift[i] = params[1][i] - params[2][i]*scale[i]
	}
	vector := func(v []float64) *tensor.Tensor { return tensor.FromFloats(tensor.Float64, []int{len(v)}, v) }
	return affine{x: n.In(0), scale: vector(scale), shift: vector(shift)}, true
}

func fuseBatchNorm(e *rewrite.Editor, n *graph.Node) {
	a, ok := batchNormAt(n)
	if !ok {
		e.Kept(n, "training mode, or its parameters are not constant")
		return
	}
	lin, why := linearBefore(e, a.x)
	switch {
	case lin == nil:
	case lin.at != 1 || lin.channels != a.scale.Len() || !lin.takesShift():
		why = "its channels are not those of " + lin.node.Title()
	case !n.Out(0).CanReplace(a.x):
		why = "its output cannot be renamed"
	default:
		if e.Allow() {
			lin.scaleOut(a.scale.Floats(), a.shift.Floats())
			absorb(e, n, a.x, lin)
		}
		return
	}
	if !intoNext(e, n, a) {
		e.Kept(n, "%s", why)
	}
}

// intoNext folds n into the linear node that alone reads it.
func intoNext(e *rewrite.Editor, n *graph.Node, a affine) bool {
	to := n.Out(0).Only()
	if to == nil || to.In(0) != n.Out(0) || !to.Is("Conv", "Gemm") || to.Int("transA", 0) != 0 {
		return false
	}
	lin, _ := linearAt(e, to)
	if lin == nil || lin.inputs() != a.scale.Len() || !lin.unpadded() || !n.Out(0).CanReplace(a.x) {
		return false
	}
	if e.Allow() {
		lin.scaleIn(a.scale.Floats(), a.shift.Floats())
		e.Replace(n, n.Out(0), a.x, "folded into %s", to.Title())
	}
	return true
}

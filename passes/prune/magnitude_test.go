package prune

import (
	"slices"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Runs follow the inputs of an output, whatever the layout of the weight.
func TestRunsFollowInputs(t *testing.T) {
	for _, c := range []struct {
		io, body string
		shape    []int
		want     [][]int
	}{
		{"(float[N,3] x) => (float[N,2] y)", `y = Gemm <transB = 1> (x, w)`, []int{2, 3}, [][]int{{0, 1}, {2}, {3, 4}, {5}}},
		{"(float[N,3] x) => (float[N,2] y)", `y = Gemm (x, w)`, []int{3, 2}, [][]int{{0, 2}, {4}, {1, 3}, {5}}},
		{"(float[2,N,2] x) => (float[2,N,2] y)", `y = MatMul (x, w)`, []int{2, 2, 2}, [][]int{{0, 2}, {1, 3}, {4, 6}, {5, 7}}},
		{"(float[N,2,4,4] x) => (float[N,2,4,3] y)", `y = Conv (x, w)`, []int{2, 2, 1, 2}, [][]int{{0, 1}, {2, 3}, {4, 5}, {6, 7}}},
		{"(float[N,2,4,4] x) => (float[N,2,4,5] y)", `y = ConvTranspose (x, w)`, []int{2, 2, 1, 2}, nil},
	} {
		m := parse(t, `<ir_version: 8, opset_import: ["": 17]> g `+c.io+` <float w = {0}> { `+c.body+` }`)
		var n *graph.Node
		for n = range m.Graph.Nodes() {
			break
		}
		n.In(1).Data = &graph.Data{Tensor: tensor.New(tensor.Float32, c.shape...)}
		l := layer{n, n.In(1), n.In(1).Const().Floats()}
		if got := runs(l.node, l.w.Const().Shape, 2); !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s: %v, want %v", c.body, got, c.want)
		}
	}
}

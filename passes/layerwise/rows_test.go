package layerwise

import (
	"math"
	"math/rand/v2"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// Patches times weights are the convolution.
func TestPatchesAreWhatConvReads(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]> g (float[2,6,7,9] x, float[8,3,3,2] w) => (float[N,8,H,W] y) {
		y = Conv<group=2, pads=[1,2,0,1], strides=[2,1], dilations=[1,2]>(x, w) }`)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(shape ...int) *tensor.Tensor {
		v := make([]float32, volume(shape))
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return tensor.Of(shape, v)
	}
	x, w := random(2, 6, 7, 9), random(8, 3, 3, 2)
	var n *graph.Node
	for n = range m.Graph.Nodes() {
	}
	r, err := op.Resolve(n, m.Opset)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Run(n, &op.Env{}, []tensor.Value{x, w})
	if err != nil {
		t.Fatal(err)
	}
	want := out[0].(*tensor.Tensor)
	attrs := &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}
	moved := make([]float32, x.Len())
	for i, v := range x.Float32s() {
		sample, channel, pixel := i/(6*63), i/63%6, i%63
		moved[(sample*63+pixel)*6+channel] = v
	}
	for layout, x := range [][]float32{x.Float32s(), moved} {
		read, err := newPatches(attrs, []int{2, 6, 7, 9}, w.Shape, layout == 1)
		if err != nil {
			t.Fatal(err)
		}
		testRead(t, read, x, w.Float32s(), want.Float32s())
	}
}

func testRead(t *testing.T, read *patches, x, w, want []float32) {
	t.Helper()
	const inputs = 18
	all := spaced(read.pixels(), 1<<20)
	row := make([]float32, inputs*len(all))
	for s := range 2 {
		for c := range 8 {
			read.read(x, s, c/4, read.table(all), row)
			for p := range all {
				sum := 0.0
				for i := range inputs {
					sum += float64(row[p*inputs+i]) * float64(w[c*inputs+i])
				}
				if y := float64(want[(s*8+c)*len(all)+p]); math.Abs(sum-y) > 1e-5 {
					t.Fatalf("sample %d, channel %d, position %d: %g, want %g", s, c, p, sum, y)
				}
			}
		}
	}
}

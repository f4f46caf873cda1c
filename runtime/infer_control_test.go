package runtime

import (
	"math/rand/v2"
	"testing"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// subgraphModels is models of every operator that runs subgraphs. Inputs draw a
// size for each symbol, and small numbers.
var subgraphModels = []string{
	`<ir_version: 8, opset_import: ["": 13]> if_shapes (bool c, float[N,M] x, int64 k) => (float[] y, float[] z) {
		y, z = If (c) <then_branch = a () => (float[] u, float[] v) { u = Transpose (x) v = Identity (x) },
			else_branch = b () => (float[] p, float[] q) { p = Concat <axis = 0> (x, x) q = Relu (x) }> }`,
	`<ir_version: 8, opset_import: ["": 16]> if_ranks (bool c, float[N] x) => (float[] y) {
		y = If (c) <then_branch = a () => (float[] u) { u = ReduceSum (x) }, else_branch = b () => (float[] v) { v = Identity (x) }> }`,
	`<ir_version: 8, opset_import: ["": 13]> loop_grows (int64 n, float[N] x) => (float[] y, float[] s) {
		y, s = Loop (n, , x) <body = b (int64 i, bool c, float[] a) => (bool d, float[] e, float[] o) {
			d = Identity (c) e = Concat <axis = 0> (a, x) o = Relu (x) }> }`,
	`<ir_version: 8, opset_import: ["": 13]> loop_keeps (int64 n, bool t, float[N,M] x) => (float[] y, int64 k, float[] s, float[] last) <int64[1] m = {-1}, int64[1] e = {9}, int64[1] z = {0}> {
		y, k, s = Loop (n, t, x, n) <body = b (int64 i, bool c, float[] a, int64 q) => (bool d, float[] r, int64 w, float[] o) {
			one = Constant <value = int64 {1}> () w = Sub (q, one) two = Constant <value = int64 {2}> () d = Less (i, two) r = Mul (a, a) o = Transpose (a) }>
		last = Slice (s, m, e, z) }`,
	`<ir_version: 8, opset_import: ["": 13]> loop_last (int64 n, bool t, float[N] x) => (float[] y) <int64[1] m = {-1}, int64[1] e = {9}, int64[1] z = {0}> {
		s = Loop (n, t) <body = b (int64 i, bool c) => (bool d, float[] o) { two = Constant <value = int64 {2}> () d = Less (i, two) o = Relu (x) }>
		last = Slice (s, m, e, z) y = Squeeze (last, z) }`,
	`<ir_version: 8, opset_import: ["": 13]> loop_ranks (int64 n, float[N] x) => (float[] y) <int64[1] z = {0}> {
		y = Loop (n, , x) <body = b (int64 i, bool c, float[] a) => (bool d, float[] r) { d = Identity (c) r = Unsqueeze (a, z) }> }`,
	`<ir_version: 8, opset_import: ["": 11]> scan (float[H] h, float[T,H] x, float[H,T] w) => (float[] y, float[] s, float[] u) {
		y, s, u = Scan <num_scan_inputs = 2, scan_input_axes = [0, 1], scan_input_directions = [1, 0], scan_output_axes = [0, -1],
			body = b (float[] a, float[] p, float[] q) => (float[] r, float[] o, float[] v) { r = Add (a, p) o = Identity (r) v = Concat <axis = 0> (p, q) }> (h, x, w) }`,
	`<ir_version: 3, opset_import: ["": 8]> scan_batch (float[B,H] h, float[B,T,H] x) => (float[] y, float[] s) {
		y, s = Scan <num_scan_inputs = 1, body = b (float[] a, float[] p) => (float[] r, float[] o) { r = Add (a, p) o = Mul (r, p) }> (, h, x) }`,
	`<ir_version: 8, opset_import: ["": 17]> sequence_map (float[N,M] x, float[N,M] w, float[M] v) => (float[] y) {
		s = SequenceConstruct (x, w)
		q = SequenceMap (s, v) <body = b (float[] a, float[] p) => (float[] r) { r = Add (a, p) }>
		y = ConcatFromSequence <axis = 0> (q) }`,
}

// TestRandomSubgraphs: whatever is known of the inputs, inference through
// subgraphs does not contradict what the reference computes.
func TestRandomSubgraphs(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, text := range subgraphModels {
		model, err := graph.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		ran := 0
		for range 40 {
			in := drawInputs(r, model.Graph)
			computed, err := observeRun(model.Clone(), in)
			if err != nil {
				continue
			}
			ran++
			for _, variant := range inferenceVariants {
				m := model.Clone()
				c := &inferenceCheck{info: inferVariant(m, in, variant.types, variant.fixed), symbols: map[string]dim.Dim{}}
				if _, err := c.compare(m, in, computed); err != nil {
					t.Errorf("%s, %s: %v of inputs %v", model.Graph.Name, variant.name, err, in)
				}
			}
		}
		if ran < 5 {
			t.Errorf("%s ran %d times", model.Graph.Name, ran)
		}
	}
}

func drawInputs(r *rand.Rand, g *graph.Graph) []tensor.Value {
	sizes := map[string]int{}
	var in []tensor.Value
	for _, v := range g.Inputs() {
		var shape []int
		for _, d := range v.Type.Shape {
			if _, ok := sizes[d.String()]; !ok {
				sizes[d.String()] = r.IntN(4)
			}
			shape = append(shape, sizes[d.String()])
		}
		x := tensor.New(v.Type.Elem, shape...)
		switch v.Type.Elem {
		case tensor.Bool:
			tensor.View[bool](x)[0] = r.IntN(4) > 0
		case tensor.Int64:
			tensor.View[int64](x)[0] = r.Int64N(4)
		default:
			for i := range x.Len() {
				tensor.View[float32](x)[i] = float32(r.IntN(5) - 2)
			}
		}
		in = append(in, x)
	}
	return in
}

package runtime

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// controlModels are what ONNX's own tests leave out: text, the only input,
// wanted output and its inferred type.
var controlModels = []struct {
	name, text string
	in         *tensor.Tensor
	want       *tensor.Tensor
	typ        string
}{
	{"loop without iterations", `<ir_version: 8, opset_import: ["": 16]>
	g (int64 n) => (float[K,2] y) {
		x = Constant <value_floats = [1.0, 2.0]> ()
		y = Loop (n) <body = b (int64 i, bool c) => (bool d, float[2] o) { d = Identity(c) o = Identity(x) }>
	}`, tensor.Scalar(int64(-3)), tensor.Of([]int{0, 2}, []float32{}), "float[unk__1,2]"},
	{"loop of known length", `<ir_version: 8, opset_import: ["": 16]>
	g (int64 z) => (int64[K] y) {
		n = Constant <value_int = 3> ()
		s, y = Loop (n, , z) <body = b (int64 i, bool c, int64 a) => (bool d, int64 e, int64 o) { d = Identity(c) e = Add(a, i) o = Identity(e) }>
	}`, tensor.Scalar(int64(10)), tensor.Vector[int64](10, 11, 13), "int64[3]"},
	{"loop that grows a value", `<ir_version: 8, opset_import: ["": 16]>
	g (float[1] x) => (float[K] y) {
		n = Constant <value_int = 3> ()
		y = Loop (n, , x) <body = b (int64 i, bool c, float[K] a) => (bool d, float[L] e) { d = Identity(c) e = Concat <axis = 0> (a, a) }>
	}`, tensor.Vector[float32](7), tensor.Of([]int{8}, slices.Repeat([]float32{7}, 8)), "float[unk__2]"},
	{"loop with a condition", `<ir_version: 8, opset_import: ["": 16]>
	g (int64 z) => (int64[K] y) {
		t = Constant <value = bool {1}> ()
		s, y = Loop (, t, z) <body = b (int64 i, bool c, int64 a) => (bool d, int64 e, int64 o) {
			one = Constant <value_int = 1> () m = Constant <value_int = 2> ()
			e = Add(a, one) d = Less(i, m) o = Identity(e) }>
	}`, tensor.Scalar(int64(0)), tensor.Vector[int64](1, 2, 3), "int64[unk__1]"},
	{"scan of a batch with lengths", `<ir_version: 4, opset_import: ["": 8]>
	g (int64[2] n) => (float[2,3,1] y) {
		x = Constant <value = float[2,3,1] {1,2,3,4,5,6}> ()
		z = Constant <value = float[2,1] {0,0}> ()
		s, y = Scan <num_scan_inputs = 1, directions = [1], body = b (float[1] a, float[1] v) => (float[1] e, float[1] o) { e = Add(a, v) o = Identity(e) }> (n, z, x)
	}`, tensor.Vector[int64](3, 2), tensor.Of([]int{2, 3, 1}, []float32{3, 5, 6, 5, 9, 0}), "float[2,3,1]"},
	{"scan backward along the last axis", `<ir_version: 4, opset_import: ["": 9]>
	g (float[2,3] x) => (float[2,3] y) {
		z = Constant <value = float[2] {0,0}> ()
		s, y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1], scan_input_directions = [1], scan_output_directions = [1],
			body = b (float[2] a, float[2] v) => (float[2] e, float[2] o) { e = Add(a, v) o = Identity(e) }> (z, x)
	}`, tensor.Of([]int{2, 3}, []float32{1, 2, 3, 4, 5, 6}), tensor.Of([]int{2, 3}, []float32{6, 5, 3, 15, 11, 6}), "float[2,3]"},
	{"chunks", `<ir_version: 8, opset_import: ["": 16]>
	g (float[5] x) => (float[K] y) {
		two = Constant <value_int = 2> ()
		s = SplitToSequence (x, two)
		r = SequenceErase (s)
		f = SequenceAt (r, two_)
		two_ = Constant <value_int = -1> ()
		t = SequenceInsert (r, f, two_)
		y = ConcatFromSequence <axis = 0> (t)
	}`, tensor.Vector[float32](1, 2, 3, 4, 5), tensor.Vector[float32](1, 2, 3, 4, 3, 4), "float[unk__2]"},
}

func TestControl(t *testing.T) {
	for _, c := range controlModels {
		m, err := graph.Parse(c.text)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if err := m.Graph.Sort(); err != nil {
			t.Fatal(c.name, err)
		}
		s, err := Compile(m, Options{})
		if err != nil {
			t.Fatal(c.name, err)
		}
		out, err := s.Run(context.Background(), []tensor.Value{c.in})
		if err != nil {
			t.Error(c.name, err)
		} else if err := sameValue(out[0], c.want, 0, 0); err != nil {
			t.Error(c.name, err)
		}
		info := shape.Infer(m)
		if got := info.Type(m.Graph.Outputs()[0]).String(); got != c.typ || len(info.Conflicts) > 0 {
			t.Errorf("%s: inferred %v, want %s; %v", c.name, got, c.typ, info.Conflicts)
		}
	}
}

// TestEndlessLoop: a step limit, the context and the size of what a loop
// collects each end it.
func TestEndlessLoop(t *testing.T) {
	const text = `<ir_version: 8, opset_import: ["": 16]>
	g (int64 z) => (int64[K] y) {
		y = Loop () <body = b (int64 i, bool c) => (bool d, int64[1000] o) { d = Identity(c) s = Constant <value_ints = [1000]> () o = Expand(z, s) }>
	}`
	m, err := graph.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, opts Options) error {
		s, err := Compile(m, opts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Run(ctx, []tensor.Value{tensor.Scalar(int64(1))})
		return err
	}
	if err := run(context.Background(), Options{MaxSteps: 10}); err == nil || !strings.Contains(err.Error(), "more than 10 iterations") {
		t.Error(err)
	}
	if err := run(context.Background(), Options{MaxBytes: 100000}); err == nil || !strings.Contains(err.Error(), "exceeds the limit") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := run(ctx, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

package runtime

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// At a glance, each watched value is seen once, with the elements it has, in
// any order within a sample.
func TestGlance(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 18]> g (float[2,3,9,9] x) => (float[2,16,7,7] y, float[2,784] f) {` + "\n" +
		literal("w", randomFloats(r, 16, 3, 3, 3)) + literal("u", randomFloats(r, 16, 16, 1, 1)) +
		"  a = Conv (x, w)\n  b = Relu (a)\n  c = Conv (b, u)\n  d = Add (c, a)\n  y = Relu (d)\n  f = Flatten (d)\n}")
	if err != nil {
		t.Fatal(err)
	}
	in := []tensor.Value{randomFloats(r, 2, 3, 9, 9)}
	watch := map[*graph.Value]bool{}
	for n := range m.Graph.Nodes() {
		if n.Is("Conv", "Relu", "Add") {
			watch[n.Out(0)] = true
		}
	}
	moved := 0
	run := func(o Options) map[string][]float32 {
		seen := map[string][]float32{}
		o.Watch = watch
		o.Observe = func(v *graph.Value, x tensor.Value) {
			y := x.(*tensor.Tensor)
			if seen[v.Name] != nil {
				t.Errorf("%s seen twice", v.Name)
			}
			if y.Shape[1] != 16 {
				moved++
			}
			s := slices.Clone(y.Float32s())
			slices.Sort(s[:len(s)/2])
			slices.Sort(s[len(s)/2:])
			seen[v.Name] = s
		}
		s, err := Compile(m, o)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // the arena fixes its plan
			clear(seen)
			if _, err := s.Run(context.Background(), in); err != nil {
				t.Fatal(err)
			}
		}
		return seen
	}
	want := run(Options{})
	if moved > 0 {
		t.Error("a value channels last, not at a glance")
	}
	for _, threads := range []int{1, 3} {
		if got := run(Options{Glance: true, Threads: threads}); len(got) != len(watch) || !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%d threads: %d values, or other elements", threads, len(got))
		}
	}
	if moved == 0 {
		t.Error("no value channels last at a glance")
	}
}

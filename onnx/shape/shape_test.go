package shape_test

import (
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
)

// TestMust: an axis that Squeeze drops is 1, unless the Squeeze may not run.
func TestMust(t *testing.T) {
	const head = `<ir_version: 8, opset_import: ["": 13]> g (float[N] x, bool[N] c, bool b) => (float[] y) <int64[1] a = {0}> { z = Compress <axis = 0> (x, c) `
	for text, one := range map[string]bool{
		`y = Squeeze (z, a) }`:                  true,
		`unread = Squeeze (z, a) y = Abs (z) }`: false,
		`o = Squeeze (x, a) y = Add (o, z) }`:   false,
		`y = If (b) <then_branch = t () => (float[] u) { u = Squeeze (z, a) }, else_branch = e () => (float[] v) { v = Abs (z) }> }`: false,
	} {
		m, err := graph.Parse(head + text)
		if err != nil {
			t.Fatal(err)
		}
		info := shape.Infer(m)
		for n := range m.Graph.Nodes() {
			if got := info.Type(n.Out(0)); n.Is("Compress") && got.Shape[0].Is(1) != one {
				t.Errorf("%s: %v", text, got)
			}
		}
		if x := info.Type(m.Graph.Inputs()[0]); x.String() != "float[N]" {
			t.Errorf("%s: input %v", text, x)
		}
	}
}

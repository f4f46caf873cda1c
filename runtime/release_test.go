package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// TestReleaseWeights compiles a model that aliases its file: weights that are packed leave memory, and whoever reads them
// afterwards finds them.
func TestReleaseWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 18]> g (float[3,700] x, float[700,700] w) => (float[3,700] y) { y = MatMul (x, w) }`)
	if err != nil {
		t.Fatal(err)
	}
	w := m.Graph.AddInitializer("weights", &graph.Data{Tensor: randomFloats(r, 700, 700)})
	for n := range m.Graph.Nodes() {
		n.SetIn(1, w)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := onnx.Save(m, path, onnx.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if m, err = onnx.Load(path); err != nil {
		t.Fatal(err)
	}
	x := randomFloats(r, 3, 700)
	var out [3]*tensor.Tensor
	for i, o := range []Options{{Reference: true}, {}, {Reference: true}} {
		s, err := Compile(m, o)
		if err != nil {
			t.Fatal(err)
		}
		before := resident(t, path)
		y, err := s.Run(context.Background(), []tensor.Value{x, x})
		if err != nil {
			t.Fatal(err)
		}
		if out[i] = y[0].(*tensor.Tensor); i == 1 && before > 1<<20 {
			t.Errorf("%d bytes of the file are resident after its weights were packed", before)
		}
	}
	if err := closeTo(out[1], out[0]); err != nil || !out[2].Equal(out[0]) {
		t.Errorf("%v, or other values when read again", err)
	}
}

// resident is how much of the file at path is in memory, 0 where that is unknown.
func resident(t *testing.T, path string) int {
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0
	}
	_, after, ok := strings.Cut(string(b), path)
	if !ok {
		return 0
	}
	var kb int
	if _, rest, ok := strings.Cut(after, "\nRss:"); ok {
		fmt.Sscan(rest, &kb)
	}
	return kb << 10
}

package graphtest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
)

// Random models are valid, the same seed makes the same one, and many operators
// occur.
func TestNew(t *testing.T) {
	seen, nodes := map[string]int{}, 0
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		seed := make([]byte, r.IntN(200))
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		c := New(seed)
		if err := Valid(c.Model); err != nil {
			t.Fatalf("%v\n%s", err, graph.Text(c.Model))
		}
		for n := range c.Model.Graph.All() {
			seen[n.Op]++
			nodes++
		}
		a, err := onnx.Marshal(c.Model)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := onnx.Marshal(New(seed).Model); !bytes.Equal(a, b) {
			t.Fatal("the same seed made another model")
		}
	}
	t.Logf("%d operators, %d nodes: %v", len(seen), nodes, seen)
	if len(seen) < 100 || nodes < 2500 || seen["If"] == 0 || seen["Loop"] == 0 || seen["Scan"] == 0 {
		t.Errorf("%d operators, %d nodes", len(seen), nodes)
	}
}

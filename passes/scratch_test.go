package passes

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// New weights of a big model are kept in a file instead of memory, with the same
// result.
func TestScratchChangesNothing(t *testing.T) {
	w := make([]float32, 2048*2050)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	m := &graph.Model{IRVersion: 8, Opsets: []graph.Opset{{Version: 17}}, Graph: graph.New("g")}
	x := m.Graph.AddInput("x", graph.TensorOf(tensor.Float32, graph.Dims([]int{4, 2048})...))
	stored := m.Graph.AddInitializer("w", &graph.Data{Tensor: tensor.Of([]int{2050, 2048}, w)})
	moved := m.Graph.Add(nil, "Transpose", "t", []*graph.Value{stored}, graph.Ints("perm", 1, 0))
	m.Graph.AddOutput(m.Graph.Add(nil, "MatMul", "y", []*graph.Value{x, moved}))
	for _, preset := range []string{"simplify", "weights", "float16"} {
		list, err := Pipeline(preset)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, scratch := range []string{"", t.TempDir()} {
			m := m.Clone()
			before := heapInUse()
			if _, err := pass.Run(context.Background(), m, list, pass.Options{Scratch: scratch, ScratchFrom: 1}); err != nil {
				t.Fatal(err)
			}
			if grown := heapInUse() - before; scratch != "" && grown > 1<<20 {
				t.Errorf("%s: %d bytes more in memory", preset, grown)
			}
			got, err := onnx.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if scratch == "" {
				want = got
				continue
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: other bytes", preset)
			}
			if left, _ := os.ReadDir(scratch); len(left) > 0 {
				t.Errorf("%s: left %v", preset, left)
			}
		}
	}
}

// heapInUse is the bytes of reachable objects.
func heapInUse() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

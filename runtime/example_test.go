package runtime_test

import (
	"context"
	"fmt"
	"log"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
)

// A graph is compiled once and run any number of times.
func Example() {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]>
		g (float[N,2] x) => (float[N,1] y) <float[2,1] w = {3.0,4.0}> { y = MatMul(x, w) }`)
	if err != nil {
		log.Fatal(err)
	}
	s, err := runtime.Compile(m, runtime.Options{Threads: 2})
	if err != nil {
		log.Fatal(err)
	}
	x := tensor.Of([]int{3, 2}, []float32{1, 0, 0, 1, 1, 1})
	out, err := s.RunNamed(context.Background(), map[string]*tensor.Tensor{"x": x})
	if err != nil {
		log.Fatal(err)
	}
	y := out["y"].(*tensor.Tensor)
	fmt.Println(y, y.Float32s())
	// Output:
	// float[3 1] [3 4 7]
}

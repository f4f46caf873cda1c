package compare_test

import (
	"context"
	"fmt"
	"log"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/compare"
	"onnxopt/runtime/samples"
)

// Two models are run on the same samples.
func Example() {
	parse := func(weights string) *graph.Model {
		m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]>
			g (float[1,2] x) => (float[1,2] y) <float[2,2] w = {` + weights + `}> { y = MatMul(x, w) }`)
		if err != nil {
			log.Fatal(err)
		}
		return m
	}
	a, b := parse("1.0,2.0,3.0,4.0"), parse("1.0,2.0,3.0,4.04")
	set, err := samples.Random([]samples.Input{{Name: "x", Type: tensor.Float32, Shape: []int{1, 2}}}, 8, 1)
	if err != nil {
		log.Fatal(err)
	}
	r, err := compare.Run(context.Background(), a, b, set, compare.Options{Latency: -1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %.0f dB, agreement %.0f %%\n", r.Outputs[0].Name, r.Outputs[0].SQNR, 100*r.Agreement)
	// Output:
	// y: 40 dB, agreement 100 %
}

package convert_test

import (
	"fmt"
	"log"

	"onnxopt/onnx/convert"
	"onnxopt/onnx/graph"
)

// Squeeze takes its axes as an input since opset 13.
func Example() {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 11]>
		g (float[1,2] x) => (float[2] y) { y = Squeeze<axes = [0]>(x) }`)
	if err != nil {
		log.Fatal(err)
	}
	if err := convert.To(m, 13); err != nil {
		log.Fatal(err)
	}
	fmt.Println(graph.Text(m))
	// Output:
	// <ir_version: 8, opset_import: ["": 13]>
	// g (float[1,2] x) => (float[2] y)
	//   <int64[1] y_axes = {0}>
	// {
	//   y = Squeeze (x, y_axes)
	// }
}

package graph_test

import (
	"fmt"
	"log"

	"onnxopt/onnx/graph"
)

// Graphs are read from the ONNX text syntax, edited by methods that keep
// definitions and uses mutual, and printed.
func Example() {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]>
		g (float[2] x) => (float[2] y) { a = Relu(x) b = Relu(a) y = Neg(b) }`)
	if err != nil {
		log.Fatal(err)
	}
	for n := range m.Graph.Nodes() {
		if before := n.In(0).Def(); n.Is("Relu") && before != nil && before.Is("Relu") {
			n.Out(0).ReplaceAll(n.In(0)) // Relu(Relu(x)) = Relu(x)
			m.Graph.Remove(n)
		}
	}
	if err := m.Verify(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(graph.Text(m))
	// Output:
	// <ir_version: 8, opset_import: ["": 17]>
	// g (float[2] x) => (float[2] y) {
	//   a = Relu (x)
	//   y = Neg (a)
	// }
}

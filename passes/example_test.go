package passes_test

import (
	"context"
	"fmt"
	"log"

	"onnxopt/onnx/graph"
	"onnxopt/passes"
	"onnxopt/passes/pass"
)

// A preset is a list of passes; the ledger says what each of them did.
func Example() {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]>
		g (float[2] x) => (float[2] y) <float[2] k = {1.0,2.0}> { a = Identity(x) b = Neg(k) c = Add(a, b) y = Dropout(c) }`)
	if err != nil {
		log.Fatal(err)
	}
	list, err := passes.Pipeline("simplify")
	if err != nil {
		log.Fatal(err)
	}
	ledger, err := pass.Run(context.Background(), m, list, pass.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range ledger.Entries {
		if e.Action == pass.Changed {
			fmt.Println(e.Pass, e.Op, e.Detail)
		}
	}
	fmt.Println(graph.Text(m))
	// Output:
	// identity Identity removed: identity
	// identity Dropout removed: dropout does nothing in inference
	// constant-folding Neg folded to a constant
	// dead-code  removed initializer: nothing reads it
	// <ir_version: 8, opset_import: ["": 17]>
	// g (float[2] x) => (float[2] y)
	//   <float[2] c_1 = {-1.0,-2.0}>
	// {
	//   y = Add (x, c_1)
	// }
}

package pass_test

import (
	"context"
	"fmt"
	"log"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// doubleNegation is -(-x) = x.
var doubleNegation = pass.Pass{
	Name:   "double-negation",
	Doc:    "remove a negation of a negation",
	Group:  "simplify",
	Effect: pass.Exact,
	Run: func(c *pass.Context, m *graph.Model) error {
		rewrite.Run(c, m, []rewrite.Local{{Ops: []string{"Neg"}, Apply: dropDoubleNegation}})
		return nil
	},
}

func dropDoubleNegation(e *rewrite.Editor, n *graph.Node) {
	inner := n.In(0).Def()
	if inner == nil || !inner.Is("Neg") {
		return
	}
	if !e.Allow() { // so that bisection can find the rewrite at fault
		return
	}
	e.Replace(n, n.Out(0), inner.In(0), "two negations cancel")
}

// A pass of one's own runs as those of package passes do.
func Example() {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]>
		g (float[2] x) => (float[2] y) { a = Neg(x) b = Neg(a) y = Relu(b) }`)
	if err != nil {
		log.Fatal(err)
	}
	ledger, err := pass.Run(context.Background(), m, []pass.Pass{doubleNegation}, pass.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range ledger.Entries {
		fmt.Println(e.Pass, e.Op, e.Node, e.Detail)
	}
	fmt.Println(graph.Text(m))
	// Output:
	// double-negation Neg b two negations cancel
	// <ir_version: 8, opset_import: ["": 17]>
	// g (float[2] x) => (float[2] y) {
	//   y = Relu (x)
	// }
}

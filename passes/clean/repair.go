package clean

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Repair replaces operators that exporters write though ONNX has none of that
// name: tf2onnx writes Erfc for exact Gelu; erfc(x) = 1 - erf(x).
var Repair = pass.Pass{
	Name:   "repair",
	Doc:    "replace operators that exporters write and ONNX does not have: Erfc",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		for n := range m.Graph.All() {
			if !n.Is("Erfc") || len(n.Inputs()) != 1 || len(n.Outputs()) != 1 || m.Function(n.Domain, n.Op, n.Overload) != nil || !c.Allow() {
				continue
			}
			g := n.Graph()
			elem := n.In(0).Type.Elem
			if t := c.Shapes().Type(n.In(0)); t.Elem != 0 {
				elem = t.Elem
			}
			if !elem.IsFloat() {
				elem = tensor.Float32
			}
			one := g.AddInitializer("one", &graph.Data{Tensor: tensor.FromFloats(elem, nil, []float64{1})})
			erf := g.Add(n, "Erf", n.Out(0).Name, []*graph.Value{n.In(0)})
			y := g.Add(n, "Sub", n.Out(0).Name, []*graph.Value{one, erf})
			n.Out(0).Supersede(y)
			c.Changed(n, "replaced by 1 - Erf")
			g.Remove(n)
		}
		return nil
	},
}

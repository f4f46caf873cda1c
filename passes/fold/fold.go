// Package fold computes at compile time what does not depend on inputs.
package fold

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Constants replaces the results of constant expressions, and of shape
// computations that inference knows, by initializers.
var Constants = pass.Pass{
	Name:  "constant-folding",
	Doc:   "compute constant expressions and known shapes, within a size limit",
	Gives: pass.Folded,
	Run: func(c *pass.Context, m *graph.Model) error {
		f := &folder{c: c, m: m, shapes: c.Shapes()}
		f.graph(m.Graph)
		c.KeepShapes(f.shapes)
		return nil
	},
}

// slack is how many bytes a folded tensor may be larger than what it frees:
// about what the node itself took in the file.
const slack = 256

type folder struct {
	c      *pass.Context
	m      *graph.Model
	shapes *shape.Info
}

func (f *folder) graph(g *graph.Graph) {
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			f.graph(sub)
		}
		values, reason := f.fold(n)
		if values == nil {
			if reason != "" {
				f.c.Kept(n, "%s", reason)
			}
			continue
		}
		if !f.c.Allow() {
			return
		}
		for i, v := range n.Outputs() {
			if v != nil {
				v.ReplaceAll(g.AddInitializer(v.Name, &graph.Data{Tensor: values[i]}))
			}
		}
		f.c.Changed(n, "folded to a constant")
		g.Remove(n)
	}
}

// fold is the constant outputs of n, or why there are none; no reason is given
// for nodes that depend on inputs.
func (f *folder) fold(n *graph.Node) ([]*tensor.Tensor, string) {
	r, err := op.Resolve(n, f.m.Opset)
	if err != nil || r.Flags&(op.Random|op.Control) != 0 || r.Eval == nil || n.Is("DequantizeLinear") {
		return nil, ""
	}
	for _, v := range n.Outputs() {
		if v != nil && v.IsOutput() {
			return nil, ""
		}
	}
	if known := f.known(n); known != nil {
		return known, ""
	}
	in, freed := make([]tensor.Value, len(n.Inputs())), 0
	for i, v := range n.Inputs() {
		if v == nil {
			continue
		}
		t := v.Const()
		if t == nil {
			return nil, ""
		}
		in[i] = t
		if v.Only() == n {
			freed += len(t.Bytes())
		}
	}
	limit := max(freed, f.c.Settings.MaxFold) + slack
	if n.Is("Constant") {
		limit = 1 << 40 // it only moves
	}
	out, err := r.Run(n, &op.Env{Context: f.c, MaxBytes: limit, MaxSteps: 1000}, in)
	if err != nil {
		return nil, fmt.Sprintf("constant, but not folded: %v", err)
	}
	size := 0
	values := make([]*tensor.Tensor, len(out))
	for i, v := range out {
		t, ok := v.(*tensor.Tensor)
		if !ok && n.Out(i) != nil {
			return nil, ""
		}
		values[i] = t
		if t != nil {
			size += len(t.Bytes())
		}
	}
	if size > limit {
		return nil, fmt.Sprintf("constant, but not folded: %d bytes would replace %d", size, freed)
	}
	return values, ""
}

// known is the output of a shape computation whose value inference found.
func (f *folder) known(n *graph.Node) []*tensor.Tensor {
	if len(n.Outputs()) != 1 || n.Out(0) == nil || n.Is("Constant") {
		return nil
	}
	if c := f.shapes.Const(n.Out(0)); c != nil && len(c.Bytes()) <= slack {
		return []*tensor.Tensor{c}
	}
	return nil
}

package fold

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// closed reports that the subgraphs of n read only constants of the enclosing
// graphs.
func (f *folder) closed(n *graph.Node) bool {
	ok := true
	n.Captures(func(v *graph.Value) { ok = ok && f.constant(v) != nil })
	return ok
}

// scope evaluates the subgraphs of one constant control-flow node.
type scope struct {
	f      *folder
	values map[*graph.Value]tensor.Value
	env    *op.Env
}

func (s *scope) value(v *graph.Value) tensor.Value {
	if x, ok := s.values[v]; ok {
		return x
	}
	if t := s.f.constant(v); t != nil {
		return t
	}
	return nil
}

// run is op.Env.Run.
func (s *scope) run(g *graph.Graph, in []tensor.Value) ([]tensor.Value, error) {
	for i, v := range g.Inputs() {
		if i < len(in) {
			s.values[v] = in[i]
		}
	}
	for n := range g.Nodes() {
		if s.f.nodes++; s.f.nodes > maxNodes {
			return nil, fmt.Errorf("more than %d nodes in constant loops", maxNodes)
		}
		r, err := op.Resolve(n, s.f.m.Opset)
		if err != nil {
			return nil, err
		}
		if r.Flags&op.Random != 0 {
			return nil, fmt.Errorf("node %s is random", n.Title())
		}
		args := make([]tensor.Value, len(n.Inputs()))
		for i, v := range n.Inputs() {
			if v == nil {
				continue
			}
			if args[i] = s.value(v); args[i] == nil {
				return nil, fmt.Errorf("node %s: input %s is not constant", n.Title(), v.Name)
			}
		}
		out, err := r.Run(n, s.env, args)
		if err != nil {
			return nil, err
		}
		for i, v := range n.Outputs() {
			if v != nil {
				s.values[v] = out[i]
			}
		}
	}
	out := make([]tensor.Value, len(g.Outputs()))
	for i, v := range g.Outputs() {
		if out[i] = s.value(v); out[i] == nil {
			return nil, fmt.Errorf("output %s is not constant", v.Name)
		}
	}
	return out, nil
}

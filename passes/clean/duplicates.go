package clean

import (
	"fmt"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Duplicates computes equal expressions once and stores equal initializers
// once. Subgraphs read what enclosing graphs have already.
var Duplicates = pass.Pass{
	Name:  "common-subexpressions",
	Doc:   "compute equal expressions once, store equal initializers once",
	Group: "simplify",
	Run: func(c *pass.Context, m *graph.Model) error {
		s := c.Shapes()
		mergeInitializers(c, m.Graph, nil)
		mergeNodes(c, m, m.Graph, nil)
		c.KeepShapes(s)
		return nil
	},
}

// stored is the initializers of a graph, and of those around it, by a
// fingerprint.
type stored struct {
	first map[string][]*graph.Value
	outer *stored
}

func mergeInitializers(c *pass.Context, g *graph.Graph, outer *stored) {
	s := &stored{map[string][]*graph.Value{}, outer}
	for v := range g.Initializers() {
		t := v.Const()
		if t == nil || t.Type == tensor.String || v.IsOutput() {
			continue
		}
		key := fingerprint(t)
		same := s.find(key, t)
		if same == nil {
			s.first[key] = append(s.first[key], v)
			continue
		}
		if len(v.Uses()) == 0 || !c.Allow() {
			continue
		}
		v.ReplaceAll(same)
		c.ChangedValue(v, "merged with the equal initializer %s", same.Name)
		g.RemoveInitializer(v)
	}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			mergeInitializers(c, sub, s)
		}
	}
}

func (s *stored) find(key string, t *tensor.Tensor) *graph.Value {
	for ; s != nil; s = s.outer {
		for _, v := range s.first[key] {
			if v.Const().Equal(t) {
				return v
			}
		}
	}
	return nil
}

// fingerprint is equal for equal tensors and cheap: it reads a few parts of
// large ones.
func fingerprint(t *tensor.Tensor) string {
	const part, parts = 64, 16
	b := t.Bytes()
	if len(b) <= part*parts {
		return fmt.Sprintf("%v %s", t, b)
	}
	key := fmt.Appendf(nil, "%v ", t)
	for i := range parts {
		at := (len(b) - part) / (parts - 1) * i
		key = append(key, b[at:at+part]...)
	}
	return string(key)
}

// computed is the nodes of a graph, and of those around it, by signature.
type computed struct {
	first map[string]*graph.Node
	outer *computed
}

func (k *computed) find(key string) *graph.Node {
	for ; k != nil; k = k.outer {
		if n := k.first[key]; n != nil {
			return n
		}
	}
	return nil
}

func mergeNodes(c *pass.Context, m *graph.Model, g *graph.Graph, outer *computed) {
	k := &computed{map[string]*graph.Node{}, outer}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			mergeNodes(c, m, sub, k)
		}
		key, ok := signature(m, n)
		if !ok {
			continue
		}
		same := k.find(key)
		if same == nil {
			k.first[key] = n
			continue
		}
		if !replaceable(n, same) {
			c.Kept(n, "equal to %s, but both name graph outputs", same.Title())
			continue
		}
		if !c.Allow() {
			continue
		}
		for i, v := range n.Outputs() {
			if v != nil {
				v.ReplaceAll(same.Out(i))
			}
		}
		c.Changed(n, "removed: equal to %s", same.Title())
		g.Remove(n)
	}
}

func replaceable(n, same *graph.Node) bool {
	for i, v := range n.Outputs() {
		if v != nil && !v.CanReplace(same.Out(i)) {
			return false
		}
	}
	return true
}

// signature is equal for nodes that compute the same; false for nodes that
// must not be merged: random ones, those with subgraphs, and quantization, of which
// engines look for one node beside each reader.
func signature(m *graph.Model, n *graph.Node) (string, bool) {
	r, err := op.Resolve(n, m.Opset)
	if err != nil || r.Flags&(op.Random|op.Control) != 0 || n.Is("QuantizeLinear", "DequantizeLinear") {
		return "", false
	}
	key, ok := rewrite.Signature(n)
	if !ok {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%d|", key, len(n.Outputs()))
	for _, v := range n.Outputs() {
		fmt.Fprintf(&b, "%v,", v != nil)
	}
	for _, v := range n.Inputs() {
		fmt.Fprintf(&b, "%p,", v)
	}
	return b.String(), true
}

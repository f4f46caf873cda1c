package clean

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Duplicates computes equal expressions once and stores equal initializers
// once.
var Duplicates = pass.Pass{
	Name:  "common-subexpressions",
	Group: "simplify",
	Doc:   "compute equal expressions once, store equal initializers once",
	Run: func(c *pass.Context, m *graph.Model) error {
		s := c.Shapes()
		mergeInitializers(c, m.Graph)
		mergeNodes(c, m, m.Graph)
		c.KeepShapes(s)
		return nil
	},
}

func mergeInitializers(c *pass.Context, g *graph.Graph) {
	first := map[[32]byte]*graph.Value{}
	for v := range g.Initializers() {
		t := v.Const()
		if t == nil || t.Type == tensor.String || v.IsOutput() {
			continue
		}
		h := sha256.New()
		fmt.Fprintf(h, "%v\n", t)
		h.Write(t.Bytes())
		key := [32]byte(h.Sum(nil))
		same := first[key]
		if same == nil {
			first[key] = v
			continue
		}
		if len(v.Uses()) == 0 {
			continue
		}
		if !c.Allow() {
			return
		}
		v.ReplaceAll(same)
		c.ChangedValue(v, "merged with the equal initializer %s", same.Name)
		g.RemoveInitializer(v)
	}
}

func mergeNodes(c *pass.Context, m *graph.Model, g *graph.Graph) {
	first := map[string]*graph.Node{}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			mergeNodes(c, m, sub)
		}
		key, ok := signature(m, n)
		if !ok {
			continue
		}
		same := first[key]
		if same == nil {
			first[key] = n
			continue
		}
		if !replaceable(n, same) {
			c.Kept(n, "equal to %s, but both name graph outputs", same.Title())
			continue
		}
		if !c.Allow() {
			return
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
// must not be merged.
func signature(m *graph.Model, n *graph.Node) (string, bool) {
	r, err := op.Resolve(n, m.Opset)
	if err != nil || r.Flags&(op.Random|op.Control) != 0 {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%d|", n.Domain, n.Op, len(n.Outputs()))
	for _, v := range n.Outputs() {
		fmt.Fprintf(&b, "%v,", v != nil)
	}
	for _, v := range n.Inputs() {
		fmt.Fprintf(&b, "%p,", v)
	}
	attrs := map[string]string{}
	for _, a := range n.Attrs {
		if a.T != nil || a.Tensors != nil || a.Type != nil || a.Types != nil {
			if a.T == nil || a.T.Tensor == nil {
				return "", false
			}
			attrs[a.Name] = fmt.Sprintf("%v %x %q", a.T.Tensor, sha256.Sum256(a.T.Tensor.Bytes()), a.T.Tensor.Strings())
			continue
		}
		attrs[a.Name] = fmt.Sprintf("%d %v %d %q %v %v %q", a.Kind, a.F, a.I, a.S, a.Floats, a.Ints, a.Strings)
	}
	fmt.Fprint(&b, attrs) // maps print in order of their keys
	return b.String(), true
}

package rewrite

import (
	"crypto/sha256"
	"fmt"

	"onnxopt/onnx/graph"
)

// Signature is equal for nodes of one operator whose attributes, but for those
// of the given names, are equal; false where attributes hold what it does not
// compare, such as subgraphs.
func Signature(n *graph.Node, without ...string) (string, bool) {
	attrs := map[string]string{}
	for _, a := range CloneAttrs(n.Attrs, without...) {
		switch {
		case a.G != nil || a.Graphs != nil || a.Tensors != nil || a.Type != nil || a.Types != nil:
			return "", false
		case a.T == nil:
			attrs[a.Name] = fmt.Sprintf("%d %v %d %q %v %v %q", a.Kind, a.F, a.I, a.S, a.Floats, a.Ints, a.Strings)
		case a.T.Tensor == nil:
			return "", false
		default:
			attrs[a.Name] = fmt.Sprintf("%v %x %q", a.T.Tensor, sha256.Sum256(a.T.Tensor.Bytes()), a.T.Tensor.Strings())
		}
	}
	return fmt.Sprintf("%s|%s|%v", n.Domain, n.Op, attrs), true // maps print in order of their keys
}

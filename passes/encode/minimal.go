package encode

import (
	"cmp"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/passes/pass"
)

// ShortNames gives values that the model's interface does not show the shortest
// names, the most used ones first, and drops what only people read: names of
// nodes, doc strings inside the graph, types of inner values.
var ShortNames = pass.Pass{
	Name:   "short-names",
	Doc:    "the shortest names for inner values, none for nodes, no types and doc strings inside the graph",
	Effect: pass.Exact,
	Run:    shortNames,
}

// nameLetters are what names are made of.
const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func shortNames(c *pass.Context, m *graph.Model) error {
	taken := map[string]bool{}
	keep := map[*graph.Value]bool{}
	for _, v := range slices.Concat(m.Graph.Inputs(), m.Graph.Outputs()) {
		taken[v.Name], keep[v] = true, true
	}
	var inner []*graph.Value
	size := 0
	collect := func(g *graph.Graph) {
		for v := range g.Values() {
			if !keep[v] {
				inner = append(inner, v)
				size += len(v.Name) * (1 + len(v.Uses()))
			}
		}
	}
	collect(m.Graph)
	named := 0
	for n := range m.Graph.All() {
		size += len(n.Name) + len(n.Doc)
		named += len(n.Name) + len(n.Doc)
		for sub := range n.Subgraphs() {
			collect(sub)
		}
	}
	slices.SortStableFunc(inner, func(a, b *graph.Value) int { return cmp.Compare(len(b.Uses()), len(a.Uses())) })
	names := make([]string, len(inner))
	next, after, described := 0, 0, false
	for i, v := range inner {
		for names[i] == "" || taken[names[i]] {
			names[i] = shortName(next)
			next++
		}
		after += len(names[i]) * (1 + len(v.Uses()))
		described = described || v.Type.Known() && v.Data == nil && v.Def() != nil
	}
	if after >= size && named == 0 && !described || len(m.Graph.Quant) > 0 || !c.Allow() {
		return nil
	}
	for i, v := range inner {
		v.Rename(names[i])
		if v.Def() != nil {
			v.Type, v.Doc = graph.Type{}, ""
		}
	}
	for n := range m.Graph.All() {
		n.Name, n.Doc = "", ""
	}
	c.Warn("names and types of %d inner values and of all nodes dropped", len(inner))
	return nil
}

// shortName is the i-th of all names, shortest first.
func shortName(i int) string {
	var b []byte
	for i++; i > 0; i = (i - 1) / len(nameLetters) {
		b = append(b, nameLetters[(i-1)%len(nameLetters)])
	}
	return string(b)
}

// DefaultAttributes drops attributes that say what their absence says.
var DefaultAttributes = pass.Pass{
	Name:   "default-attributes",
	Doc:    "drop attributes that have their default values",
	Effect: pass.Exact,
	Run:    defaultAttributes,
}

func defaultAttributes(c *pass.Context, m *graph.Model) error {
	for n := range m.Graph.All() {
		r, err := op.Resolve(n, m.Opset)
		if err != nil {
			continue
		}
		var drop []string
		for _, a := range n.Attrs {
			if isDefault(n, r, a) {
				drop = append(drop, a.Name)
			}
		}
		if len(drop) == 0 {
			continue
		}
		if !c.Allow() {
			return nil
		}
		for _, name := range drop {
			n.RemoveAttr(name)
		}
		c.Changed(n, "default attributes dropped: %v", drop)
	}
	return nil
}

// spatial is the attributes of windows whose default depends on the rank: all
// elements have this value.
var spatial = map[string]int64{"dilations": 1, "strides": 1, "pads": 0}

func isDefault(n *graph.Node, r op.Resolved, a *graph.Attr) bool {
	if a.Ref != "" || len(a.Extra) > 0 || n.Is("Split") && a.Name == "axis" { // OpenCV has another default
		return false
	}
	if want, ok := spatial[a.Name]; ok && n.Is("Conv", "MaxPool", "AveragePool") && a.Kind == graph.AttrInts {
		if a.Name == "pads" && n.Attr("auto_pad") != nil {
			return false
		}
		return !slices.ContainsFunc(a.Ints, func(x int64) bool { return x != want })
	}
	s := r.Schema.Attr(a.Name)
	if s == nil || s.Default == nil || s.Default.Kind != a.Kind {
		return false
	}
	switch a.Kind {
	case graph.AttrInt:
		return a.I == s.Default.I
	case graph.AttrFloat:
		return a.F == s.Default.F
	case graph.AttrString:
		return a.S == s.Default.S
	}
	return false
}

package rewrite

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/passes/pass"
)

// Rule replaces what matches a pattern. Patterns are graphs in ONNX text:
//
//	"p (x) => (y) <float half = {0.5}> { a = Mul(x, half)  y = Tanh(a) }"
//
// Graph inputs match any value, the same one each time. Initializers match
// constants of that value (all elements equal) whatever their element type.
// Attributes that the pattern gives must be equal, defaults included; others
// are Check's matter. Inputs whose name starts with opt_ may be absent.
// Commutative operators match in both orders; an Identity matches the absence
// of a node. Inner results must have no other
// reader. The pattern's first output is what is replaced.
type Rule struct {
	Name     string
	Opset    int64 // the oldest that has the operators of the result
	Patterns []string
	// Check says why a match must be left alone; nil accepts all.
	Check func(e *Editor, m *Match) string
	// Apply makes the replacement before m.Root and returns its value.
	Apply func(e *Editor, m *Match) *graph.Value
}

// Match is what a pattern's names stand for.
type Match struct {
	Root   *graph.Node
	values map[*graph.Value]*graph.Value // pattern to model
	names  map[string]*graph.Value       // the pattern's values
	nodes  []*graph.Node
	trail  []*graph.Value
}

// Value is the model's value for a name of the pattern, nil if absent.
func (m *Match) Value(name string) *graph.Value { return m.values[m.names[name]] }

// Node is the node that computes a name of the pattern.
func (m *Match) Node(name string) *graph.Node {
	if v := m.Value(name); v != nil {
		return v.Def()
	}
	return nil
}

type compiled struct {
	*Rule
	root  *graph.Value
	names map[string]*graph.Value
}

// Rules is rules by the operator that their patterns end in.
type Rules map[string][]compiled

// Compile parses the patterns of rules, which are in order of preference.
func Compile(rules []Rule) (Rules, error) {
	byOp := Rules{}
	for i := range rules {
		r := &rules[i]
		for _, text := range r.Patterns {
			g, err := graph.ParseGraph(text)
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", r.Name, err)
			}
			p := compiled{r, g.Outputs()[0], map[string]*graph.Value{}}
			for v := range g.Values() {
				p.names[v.Name] = v
			}
			root := p.root.Def().Op
			byOp[root] = append(byOp[root], p)
		}
	}
	return byOp, nil
}

// Ends names the rule that would replace n, whatever its opset; "" if none.
func (r Rules) Ends(e *Editor, n *graph.Node) string {
	for _, p := range r[n.Op] {
		if m := e.match(p, n); m != nil && (p.Check == nil || p.Check(e, m) == "") {
			return p.Name
		}
	}
	return ""
}

// RunRules applies those of rules that the model's opset has operators for to
// every node of m.
func RunRules(c *pass.Context, m *graph.Model, rules []Rule) error {
	byOp, err := Compile(slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return m.Opset("") < r.Opset }))
	if err != nil {
		return err
	}
	var locals []Local
	for o, list := range byOp {
		locals = append(locals, Local{[]string{o}, func(e *Editor, n *graph.Node) {
			for _, p := range list {
				if e.apply(p, n) {
					return
				}
			}
		}})
	}
	Run(c, m, locals)
	return nil
}

// match is what p's names stand for where it ends in n; nil if it does not.
func (e *Editor) match(p compiled, n *graph.Node) *Match {
	m := &Match{Root: n, values: map[*graph.Value]*graph.Value{}, names: p.names}
	if !e.value(m, p.root, n.Out(0)) || !m.private() {
		return nil
	}
	return m
}

// apply tries one pattern at n and reports whether it was replaced.
func (e *Editor) apply(p compiled, n *graph.Node) bool {
	m := e.match(p, n)
	if m == nil {
		return false
	}
	if p.Check != nil {
		if why := p.Check(e, m); why != "" {
			e.Kept(n, "no %s: %s", p.Name, why)
			return false
		}
	}
	if !e.Allow() {
		return false
	}
	v := p.Apply(e, m)
	return e.Replace(n, n.Out(0), v, "%s from %d nodes", p.Name, len(m.nodes))
}

// private reports that inner results have no reader outside the match.
func (m *Match) private() bool {
	in := map[*graph.Node]bool{}
	for _, n := range m.nodes {
		in[n] = true
	}
	for _, n := range m.nodes {
		if n == m.Root {
			continue
		}
		for _, v := range n.Outputs() {
			if v == nil {
				continue
			}
			for _, u := range v.Uses() {
				if u.Node == nil || !in[u.Node] {
					return false
				}
			}
		}
	}
	return true
}

// value matches a value of the pattern.
func (e *Editor) value(m *Match, p, v *graph.Value) bool {
	if v == nil {
		return false
	}
	if bound, ok := m.values[p]; ok {
		return bound == v
	}
	switch {
	case p.Data != nil:
		t := v.Const()
		got, ok := Uniform(t)
		if !ok || !Near(t.Type, got, p.Data.Tensor.Floats()[0]) {
			return false
		}
	case p.Def() != nil && p.Def().Op == "Identity":
		if !e.value(m, p.Def().In(0), v) {
			return false
		}
	case p.Def() != nil:
		return v.Def() != nil && v.Slot() == p.Slot() && e.node(m, p.Def(), v.Def())
	}
	m.bind(p, v)
	return true
}

func (m *Match) bind(p, v *graph.Value) {
	m.values[p] = v
	m.trail = append(m.trail, p)
}

func (m *Match) undo(values, nodes int) {
	for _, p := range m.trail[values:] {
		delete(m.values, p)
	}
	m.trail, m.nodes = m.trail[:values], m.nodes[:nodes]
}

func (e *Editor) node(m *Match, p, n *graph.Node) bool {
	if !n.Is(p.Op) || n.Graph() != m.Root.Graph() || !e.attrs(p, n) {
		return false
	}
	values, nodes := len(m.trail), len(m.nodes)
	m.nodes = append(m.nodes, n)
	in := p.Inputs()
	if e.inputs(m, in, n) {
		m.bind(p.Out(0), n.Out(0))
		return true
	}
	m.undo(values, nodes)
	if d := op.Find("", p.Op); d == nil || d.Flags&op.Commutative == 0 || len(in) != 2 {
		return false
	}
	m.nodes = append(m.nodes, n)
	if e.inputs(m, []*graph.Value{in[1], in[0]}, n) {
		m.bind(p.Out(0), n.Out(0))
		return true
	}
	m.undo(values, nodes)
	return false
}

func (e *Editor) inputs(m *Match, pattern []*graph.Value, n *graph.Node) bool {
	if len(n.Inputs()) > len(pattern) {
		return false
	}
	for i, p := range pattern {
		v := n.In(i)
		if v == nil && len(p.Name) > 4 && p.Name[:4] == "opt_" {
			continue
		}
		if !e.value(m, p, v) {
			return false
		}
	}
	return true
}

func (e *Editor) attrs(p, n *graph.Node) bool {
	if len(p.Attrs) == 0 {
		return true
	}
	have := e.Attrs(n)
	if have == nil {
		return false
	}
	for _, a := range p.Attrs {
		b := have.Attr(a.Name)
		if b == nil || a.Kind != b.Kind || a.I != b.I || a.F != b.F || a.S != b.S || fmt.Sprint(a.Ints, a.Floats) != fmt.Sprint(b.Ints, b.Floats) {
			return false
		}
	}
	return true
}

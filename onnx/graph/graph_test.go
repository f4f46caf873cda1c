package graph

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"onnxopt/onnx/tensor"
)

// randomGraph has n nodes of two inputs, every third with a subgraph.
func randomGraph(r *rand.Rand, n int) *Model {
	g := New("g")
	pool := []*Value{g.AddInput("x", Unranked(tensor.Float32)), g.AddInput("z", Unranked(tensor.Float32)),
		g.AddInitializer("w", &Data{Tensor: tensor.Scalar[float32](1)})}
	pick := func() *Value { return pool[r.IntN(len(pool))] }
	for i := range n {
		v := g.Add(nil, "Add", "v", []*Value{pick(), pick()})
		if i%3 == 0 {
			sub := g.NewSubgraph("body")
			inner := sub.Add(nil, "Neg", "inner", []*Value{pick()})
			sub.AddOutput(sub.Add(nil, "Mul", "inner", []*Value{inner, pick()}))
			v.Def().SetAttr(GraphAttr("body", sub))
		}
		pool = append(pool, v)
	}
	for range 3 {
		g.AddOutput(pool[len(pool)-1-r.IntN(n)])
	}
	return &Model{IRVersion: 8, Opsets: []Opset{{Version: 17}}, Graph: g}
}

// edit makes one random change that keeps the graph valid.
func edit(r *rand.Rand, g *Graph) {
	var nodes []*Node
	for n := range g.Nodes() {
		nodes = append(nodes, n)
	}
	if len(nodes) == 0 {
		return
	}
	i := r.IntN(len(nodes))
	n := nodes[i]
	before := func() *Value { // any value that stands before n
		if k := r.IntN(i + 2); k < i {
			return nodes[k].Out(0)
		}
		return g.Inputs()[r.IntN(len(g.Inputs()))]
	}
	switch r.IntN(8) {
	case 0:
		g.Add(n, "Sub", "new", []*Value{before(), nil, before()})
	case 1:
		n.SetIn(r.IntN(3), before())
	case 2:
		n.SetInputs(before(), nil)
	case 3:
		if v := n.Out(0); len(v.Uses()) == 0 {
			g.Remove(n)
		} else if k := r.IntN(i + 1); k < i {
			v.ReplaceAll(nodes[k].Out(0))
		}
	case 4:
		g.SetOutput(r.IntN(len(g.Outputs())), n.Out(0))
	case 5:
		n.RemoveAttr("body")
	case 6:
		w := g.AddInitializer("c", &Data{Tensor: tensor.Scalar[float32](2)})
		if before := before(); before.CanReplace(w) {
			before.ReplaceAll(w)
		} else {
			g.RemoveInitializer(w)
		}
	case 7:
		n.Out(0).ReplaceNodeUses(g.Inputs()[0])
	}
}

func TestEditsKeepLinks(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := randomGraph(r, 20)
		for step := range 100 {
			edit(r, m.Graph)
			if err := m.Verify(); err != nil {
				t.Fatalf("seed %d step %d: %v\n%s", seed, step, err, Text(m))
			}
		}
		c := m.Clone()
		if err := c.Verify(); err != nil {
			t.Fatalf("seed %d: clone: %v", seed, err)
		}
		before := Text(m)
		if Text(c) != before {
			t.Fatalf("seed %d: the clone differs", seed)
		}
		for range 20 {
			edit(r, c.Graph)
		}
		if Text(m) != before || m.Verify() != nil {
			t.Fatalf("seed %d: editing a clone changed the original", seed)
		}
	}
}

func TestSortShuffled(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := randomGraph(r, 30)
		var nodes []*Node
		for n := range m.Graph.Nodes() {
			nodes = append(nodes, n)
		}
		r.Shuffle(len(nodes), func(i, k int) { nodes[i], nodes[k] = nodes[k], nodes[i] })
		m.Graph.Order(nodes)
		if err := m.Graph.Sort(); err != nil {
			t.Fatal(err)
		}
		if err := m.Verify(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sorted := Text(m)
		if err := m.Graph.Sort(); err != nil || Text(m) != sorted {
			t.Errorf("seed %d: sorting a sorted graph changed it: %v", seed, err)
		}
	}
}

func TestVerifyFinds(t *testing.T) {
	const text = `g (float x) => (float y) <float w = {1}> {
		a = Add (x, w)
		y = If (a) <then_branch = t () => (float b) { b = Neg (a) }, else_branch = e () => (float c) { c = Neg (w) }>
	}`
	for _, c := range []struct {
		want string
		harm func(g *Graph)
	}{
		{"not unique", func(g *Graph) { g.Find("a").Name = "x" }},
		{"not unique", func(g *Graph) { g.Find("y").Def().Attr("else_branch").G.first.out[0].Name = "a" }},
		{`value name "" is not unique`, func(g *Graph) { g.Find("a").Name = "" }},
		{"input a is not defined before it", func(g *Graph) { g.MoveBefore(g.first, g.last) }},
		{"is not linked back", func(g *Graph) { g.Find("w").uses = nil }},
		{"stale use", func(g *Graph) { v := g.Find("w"); v.uses = append(v.uses, Use{Node: g.first, Index: 0}) }},
		{"stale use as output", func(g *Graph) { v := g.Find("w"); v.uses = append(v.uses, Use{Graph: g, Index: 4}) }},
		{"graph output a is not linked", func(g *Graph) { g.outputs[0] = g.Find("a"); g.Find("y").uses = nil }},
		{"counts 3 nodes, has 2", func(g *Graph) { g.count++ }},
		{"has another definition", func(g *Graph) { g.Find("a").slot = 1 }},
		{"belongs to another graph", func(g *Graph) { g.Find("a").graph = nil }},
		{"has another parent", func(g *Graph) { g.Find("y").Def().Attrs[0].G.parent = nil }},
	} {
		g, err := ParseGraph(text)
		if err != nil {
			t.Fatal(err)
		}
		m := &Model{Graph: g}
		if err := m.Verify(); err != nil {
			t.Fatal(err)
		}
		c.harm(g)
		if err := m.Verify(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if err := (&Model{}).Verify(); err == nil {
		t.Error("a model without a graph is valid")
	}
}

// TestReplaceAllKeepsNames: the interface of a graph keeps its names.
func TestReplaceAllKeepsNames(t *testing.T) {
	g, err := ParseGraph(`g (float x) => (float y, float z) { a = Neg (x) y = Abs (a) z = Identity (y) }`)
	if err != nil {
		t.Fatal(err)
	}
	if g.Find("y").ReplaceAll(g.Find("x")) {
		t.Error("an output became an input")
	}
	if !g.Find("y").ReplaceAll(g.Find("a")) {
		t.Fatal("refused")
	}
	g.Remove(g.Find("a").Def())
	want := "g (float x) => (float y, float z) {\n  y = Neg (x)\n  z = Identity (y)\n}"
	if got := (TextOptions{}).GraphText(g); got != want {
		t.Errorf("got %s", got)
	}
}

// TestDescribedOutputs: an output that is an input has a type of its own until
// a node computes it.
func TestDescribedOutputs(t *testing.T) {
	g, err := ParseGraph(`g (float[N] x) => (float[2] x) { }`)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.OutputInfo(0).Type.String(); got != "float[2]" {
		t.Errorf("output of type %s", got)
	}
	v := g.Add(nil, "Identity", "v", g.Inputs())
	g.SetOutput(0, v)
	if got := g.OutputInfo(0); got != v || got.Type.String() != "float[2]" {
		t.Errorf("output %v of type %v", got, got.Type)
	}
}

func TestFresh(t *testing.T) {
	g := New("g")
	var got []string
	for _, base := range []string{"a", "a", "a_1", "a", "", "a"} {
		got = append(got, g.Fresh(base))
	}
	if want := "[a a_1 a_1_1 a_2 v a_3]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// chain is n nodes in a row, and as many more that read the first input.
func chain(n int) *Graph {
	g := New("g")
	x := g.AddInput("x", Unranked(tensor.Float32))
	v := x
	for range n {
		v = g.Add(nil, "Add", "v", []*Value{v, x})
	}
	g.AddOutput(v)
	return g
}

// BenchmarkLarge shows that building, verifying and sorting are linear: ns per
// node at two sizes.
func BenchmarkLarge(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				m := &Model{Graph: chain(n)}
				if err := m.Verify(); err != nil {
					b.Fatal(err)
				}
				if err := m.Graph.Sort(); err != nil {
					b.Fatal(err)
				}
				for n := range m.Graph.Backward() {
					n.Out(0).ReplaceAll(m.Graph.Inputs()[0])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/node")
		})
	}
}

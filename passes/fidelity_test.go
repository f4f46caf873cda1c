package passes

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// TestPassesKeepWhatTheyDoNotOwn runs presets on every golden case and on shipped
// models, each part of which has a text, metadata and an unknown field of its own.
// After each pass they are still at everything that is: the model, its graph,
// inputs and outputs, nodes and tensors.
func TestPassesKeepWhatTheyDoNotOwn(t *testing.T) {
	files, err := filepath.Glob("*/testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]*graph.Model{}
	for _, path := range files {
		for _, g := range readGolden(t, path) {
			models[filepath.Base(path)+" "+g.title] = parseCase(t, g.before)
		}
	}
	for _, name := range []string{"lenet300", "resnet8", "tinyvit"} {
		models[name] = load(t, name)
	}
	seen := 0
	for _, preset := range []string{"simplify", "weights", "float16"} {
		list, err := Pipeline(preset)
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range models {
			m = m.Clone()
			decorate(m)
			before := noted(m)
			o := pass.Options{After: func(p *pass.Pass, m *graph.Model) error {
				return before.compare(m)
			}}
			if _, err := pass.Run(context.Background(), m, list, o); err != nil {
				t.Errorf("%s: %s: %v", preset, name, err)
			}
			seen += before.seen
		}
	}
	if seen < 10_000 {
		t.Errorf("only %d nodes and tensors were compared", seen)
	}
}

// decorate gives every part of m a text, metadata and an unknown field.
func decorate(m *graph.Model) {
	n := 0
	label := func() (string, []graph.Prop, graph.Extra) {
		n++
		s := fmt.Sprint("part ", n)
		return s, []graph.Prop{{Key: "k", Value: s}}, graph.Extra(fmt.Sprintf("\xc2\x3e%c%s", len(s), s))
	}
	m.Doc, m.Metadata, m.Extra = label()
	m.Producer, m.ProducerVersion, m.Domain, m.Version, m.Training = "p", "1", "d", 7, [][]byte{{0x1a, 0}}
	var walk func(g *graph.Graph)
	walk = func(g *graph.Graph) {
		g.Doc, g.Metadata, g.Extra = label()
		for v := range g.Values() {
			v.Doc, v.Metadata, v.Extra = label()
			if v.Data != nil {
				v.Data.Doc, v.Data.Metadata, v.Data.Extra = label()
				v.Data.Layout = graph.Typed
			}
		}
		for n := range g.Nodes() {
			n.Doc, n.Metadata, n.Extra = label()
			for sub := range n.Subgraphs() {
				walk(sub)
			}
		}
	}
	walk(m.Graph)
	for _, f := range m.Functions {
		walk(f.Body)
		_, _, f.Extra = label()
	}
}

// notes is what parts of a model must keep for as long as they are there.
type notes struct {
	model   []any
	graph   []any
	inputs  []any
	outputs []any
	seen    int // nodes and tensors that were compared
	nodes   map[*graph.Node][]any
	data    map[*graph.Data][]any
}

func noted(m *graph.Model) *notes {
	n := &notes{nodes: map[*graph.Node][]any{}, data: map[*graph.Data][]any{}}
	n.model = []any{m.Producer, m.ProducerVersion, m.Domain, m.Version, m.Doc, m.Metadata, m.Training, m.Extra}
	n.graph = []any{m.Graph.Name, m.Graph.Doc, m.Graph.Metadata, m.Graph.Extra}
	for _, v := range m.Graph.Inputs() {
		n.inputs = append(n.inputs, []any{v.Name, v.Type, v.Doc, v.Metadata, v.Extra})
	}
	for _, v := range m.Graph.Outputs() {
		n.outputs = append(n.outputs, []any{v.Name, v.Type, v.Doc, v.Metadata, v.Extra})
	}
	for node := range m.Graph.All() {
		n.nodes[node] = []any{node.Doc, node.Metadata, node.Extra, node.Domain, node.Overload}
	}
	eachStored(m, func(v *graph.Value) {
		n.data[v.Data] = []any{v.Data.Doc, v.Data.Metadata, v.Data.Extra, v.Data.Layout}
	})
	return n
}

func eachStored(m *graph.Model, f func(*graph.Value)) {
	graphs := []*graph.Graph{m.Graph}
	for n := range m.Graph.All() {
		graphs = slices.AppendSeq(graphs, n.Subgraphs())
	}
	for _, g := range graphs {
		for v := range g.Initializers() {
			f(v)
		}
	}
}

// compare says what m, which was changed since, has lost.
func (n *notes) compare(m *graph.Model) error {
	now := noted(m)
	for what, pair := range map[string][2][]any{"model": {n.model, now.model}, "graph": {n.graph, now.graph}, "inputs": {n.inputs, now.inputs}, "outputs": {n.outputs, now.outputs}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			return fmt.Errorf("%s: %v became %v", what, pair[0], pair[1])
		}
	}
	for node, was := range n.nodes {
		is, ok := now.nodes[node]
		if ok {
			n.seen++
		}
		if ok && !reflect.DeepEqual(was, is) {
			return fmt.Errorf("node %s: %v became %v", node.Title(), was, is)
		}
	}
	for d, was := range n.data {
		is, ok := now.data[d]
		if ok {
			n.seen++
		}
		if ok && !reflect.DeepEqual(was, is) {
			return fmt.Errorf("tensor %v: %v became %v", d.Tensor, was, is)
		}
	}
	return nil
}

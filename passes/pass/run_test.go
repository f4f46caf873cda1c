package pass

import (
	"context"
	"errors"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
)

// marker renames the results of Relu nodes, one rewrite each.
func marker(group string) Pass {
	return Pass{Name: "mark", Group: group, Run: func(c *Context, m *graph.Model) error {
		for n := range m.Graph.Nodes() {
			if v := n.Out(0); n.Is("Relu") && !strings.HasSuffix(v.Name, "!") && c.Allow() {
				c.Changed(n, "marked %s", v.Name)
				v.Name += "!"
			}
		}
		return nil
	}}
}

func relus(t *testing.T) *graph.Model {
	t.Helper()
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y)
		{ a = Relu(x) b = Relu(a) c = Relu(b) d = Relu(c) y = Neg(d) }`)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A rewrite that verification rejects is named and left out; the others stay.
func TestVerifyRejectsOneRewrite(t *testing.T) {
	m := relus(t)
	ledger, err := Run(context.Background(), m, []Pass{marker("g")}, Options{Verify: func(m *graph.Model) error {
		if m.Graph.Find("c!") != nil {
			return errors.New("c is marked")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a!", "b!", "c", "d!"} {
		if m.Graph.Find(name) == nil {
			t.Errorf("no value %s in\n%s", name, graph.Text(m))
		}
	}
	warned := ""
	for _, e := range ledger.Entries {
		if e.Action == Warning {
			warned += e.Detail
		}
	}
	if !strings.Contains(warned, "c is marked") || !strings.Contains(warned, "marked c") {
		t.Errorf("warnings %q", warned)
	}
}

// MaxRewrites stops after so many, over all passes.
func TestMaxRewrites(t *testing.T) {
	m := relus(t)
	ledger, err := Run(context.Background(), m, []Pass{marker("g")}, Options{MaxRewrites: 2})
	if err != nil {
		t.Fatal(err)
	}
	if ledger.Rewrites != 2 || m.Graph.Find("b!") == nil || m.Graph.Find("c!") != nil {
		t.Errorf("%d rewrites:\n%s", ledger.Rewrites, graph.Text(m))
	}
}

package trace

import (
	"strings"
	"testing"

	"onnxopt/onnx/graph"
)

func parse(t *testing.T, text string) *graph.Model {
	t.Helper()
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]> ` + text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The page has a column for each state, names passes that changed nothing
// with it, and escapes what the model says.
func TestPage(t *testing.T) {
	p := &Trace{Title: "<model>"}
	p.Add("original", parse(t, `g (float[2] x) => (float[2] y) { a = Identity(x) "<b>" = Relu(a) y = Neg("<b>") }`))
	p.Add("idle", parse(t, `g (float[2] x) => (float[2] y) { a = Identity(x) "<b>" = Relu(a) y = Neg("<b>") }`))
	p.Add("identity", parse(t, `g (float[2] x) => (float[2] y) <float[2] k = {1.0,2.5}> { "<b>" = Relu(x) y = Add("<b>", k) }`))
	var b strings.Builder
	if err := p.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"<h1>&lt;model&gt;</h1>", "unchanged by idle", "identity<small>2 nodes, 2 new, 3 gone</small>", `<i>k</i><small>{1, 2.5}</small>`,
		`<i>&lt;b&gt;</i> = <b>Relu</b>(<i>x</i>)`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if n := strings.Count(page, "<section>"); n != 2 {
		t.Errorf("%d columns, want 2", n)
	}
	for _, outside := range []string{"http:", "https:", "<b>Relu</b>(<i><b>"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
}

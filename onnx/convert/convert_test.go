package convert

import (
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
)

// converted is the text of a model at another opset, whose operators must be
// valid there.
func converted(t *testing.T, text string, opset int64) string {
	t.Helper()
	m, err := graph.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := To(m, opset); err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(); err != nil {
		t.Fatal(err)
	}
	for _, err := range op.Verify(m) {
		t.Error(err)
	}
	return graph.Text(m)
}

// wantParts fails unless the text has all parts, in order.
func wantParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		i := strings.Index(rest, p)
		if i < 0 {
			t.Fatalf("no %q in\n%s", p, text)
		}
		rest = rest[i:]
	}
}

// TestFunctions: bodies are converted by their own imports; an attribute that
// the caller gives becomes the input that a Constant makes of it.
func TestFunctions(t *testing.T) {
	text := converted(t, `<ir_version: 8, opset_import: ["": 12, "local": 1]>
	g (float[2,3] x) => (float[2,3] y, float[2] z) { y = local.Squash (x) z = local.Sum <over = [1]> (x) }
	<domain: "local", opset_import: ["": 12]>
	Squash (x) => (y) { y = Softmax <axis = 0> (x) }
	<domain: "local", opset_import: ["": 11]>
	Sum <over> (x) => (y) { y = ReduceSum <axes: ints = @over, keepdims = 0> (x) }`, 18)
	wantParts(t, text, `"": 18`, "Squash", "Flatten", "Softmax <axis = -1>", "Reshape", "Constant <value_ints: ints = @over>", "ReduceSum")
	if strings.Contains(text, `"": 12`) || strings.Contains(text, `"": 11`) {
		t.Errorf("an import stayed\n%s", text)
	}
}

// TestSubgraphs: nodes of subgraphs are converted, and see outer values.
func TestSubgraphs(t *testing.T) {
	text := converted(t, `<ir_version: 7, opset_import: ["": 11]>
	g (bool c, float[2,1] x) => (float[2] y) {
		y = If (c) <then_branch = a () => (float[2] u) { u = Squeeze <axes = [1]> (x) },
			else_branch = b () => (float[2] v) { v = ReduceSum <axes = [1], keepdims = 0> (x) }>
	}`, 13)
	wantParts(t, text, "If (c)", "Squeeze (x, u_axes)", "ReduceSum <keepdims = 0> (x, v_axes)")
}

// TestOldConstants: before IR version 4 initializers are inputs and count as
// constants; a model that stays there gets no new inputs.
func TestOldConstants(t *testing.T) {
	const text = `<ir_version: 3, opset_import: ["": 1]>
	g (float[2,6] x, float b = {0.5}) => (float[3,4] y) { z = Add <broadcast = 1> (x, b) y = Reshape <shape = [3, 4]> (z) }`
	old := converted(t, text, 8)
	wantParts(t, old, "ir_version: 3", "g (float[2,6] x, float b)", "Add (x, b)", "Constant <value = double[2] {3.0,4.0}>", "Cast <to = 7>", "Reshape")
	wantParts(t, converted(t, text, 13), "ir_version: 7", "int64[2] y_shape = {3,4}", "Add (x, b)", "Reshape (z, y_shape)")
}

// TestDeclined: an error says which node cannot be said, and why; the model
// stays as it was.
func TestDeclined(t *testing.T) {
	for _, c := range []struct {
		from, to int64
		node     string
		want     string
	}{
		{13, 12, "y = Squeeze (x, a)", "opset 13 to 12: node Squeeze y: axes is computed at run time (a)"},
		{14, 13, "y = Reshape <allowzero = 1> (x, a)", "allowzero with a shape that is or may be 0 (a)"},
		{18, 9, "y = ReduceL1 <noop_with_empty_axes = 1> (x)", "noop_with_empty_axes without axes"},
		{19, 18, `y = Pad <mode = "wrap"> (x, a)`, "mode = wrap came with opset 19"},
		{17, 16, "y = DFT (x)", "operator DFT came with opset 17"},
		{21, 13, "y = NoSuchOperator (x)", "operator NoSuchOperator is not known"},
		{13, 29, "y = Abs (x)", "opset 29 is not between 1 and 28"},
		{13, 12, "z = Softmax <axis = 7> (x) y = Abs (z)", "malformed model"},
		{7, 6, "y = Add (x, b)", "broadcast both ways"},
		{23, 21, "i = Cast <to = 6> (a) s = Cast <to = 1> (a) q = QuantizeLinear (i, s) y = Cast <to = 1> (q)",
			"opset 23 to 22: node QuantizeLinear q: inputs x and y_scale have types int32[] and float[], want one type"},
		{15, 9, "s = Cast <to = 11> (a) y = BatchNormalization (x, s, s, s, s)",
			"node BatchNormalization y: inputs X and scale have types float[] and double[], want one type"},
	} {
		m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 13]> g (float[2,1] x, float[1,3] b, int64[1] a) => (float[] y) {` + c.node + `}`)
		if err != nil {
			t.Fatal(err)
		}
		m.SetOpset("", c.from)
		before := graph.Text(m)
		if err := To(m, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.node, err, c.want)
		}
		if after := graph.Text(m); after != before {
			t.Errorf("%s: changed to\n%s", c.node, after)
		}
	}
}

// TestTable: every adapter is one of a known operator, for an opset that
// changed it, and there are no two of the same.
func TestTable(t *testing.T) {
	seen := map[[2]any]bool{}
	for domain, known := range versions {
		for _, a := range known.adapters {
			d := op.Find(domain, a.Op)
			if d == nil || d.At(a.Since) == nil || d.At(a.Since).Since != a.Since {
				t.Errorf("%s did not change in %s %d", a.Op, known.title, a.Since)
			}
			if seen[[2]any{a.Op, a.Since}] || a.Why == "" {
				t.Errorf("%s %d is there twice, or gives no reason", a.Op, a.Since)
			}
			seen[[2]any{a.Op, a.Since}] = true
		}
	}
}

// TestUpward: without an adapter, every schema accepts what the one before it
// does.
func TestUpward(t *testing.T) {
	for _, part := range op.Table {
		for _, d := range part {
			known, ok := versions[d.Domain]
			for i := 1; ok && i < len(d.Versions); i++ {
				if d.Versions[i].Since > known.newest {
					t.Errorf("%s has version %d, beyond %d", d.Name, d.Versions[i].Since, known.newest)
				}
				older, err := d.Versions[i-1].Parsed()
				if err != nil {
					t.Fatal(d.Name, err)
				}
				newer, err := d.Versions[i].Parsed()
				if err != nil {
					t.Fatal(d.Name, err)
				}
				if a := find(known.adapters, d.Name, d.Versions[i].Since); a != nil && a.Up != nil {
					continue
				}
				if why := narrower(older, newer); why != "" {
					t.Errorf("%s %d: %s", d.Name, d.Versions[i].Since, why)
				}
			}
		}
	}
}

// narrower says what the newer schema refuses that the older one accepts.
func narrower(older, newer *op.Schema) string {
	for _, a := range older.Attrs {
		if b := newer.Attr(a.Name); a.Name != "consumed_inputs" && (b == nil || b.Kind != a.Kind || b.Required && !a.Required && a.Default == nil) {
			return "attribute " + a.Name
		}
	}
	for _, b := range newer.Attrs {
		if b.Required && older.Attr(b.Name) == nil {
			return "attribute " + b.Name
		}
	}
	for i, q := range newer.In {
		if p := older.InParam(i); p == nil && !q.Optional && !q.Variadic || p != nil && p.Optional && !q.Optional && !q.Variadic {
			return "input " + q.Name
		}
	}
	for i, p := range older.In {
		q := newer.InParam(i)
		if q == nil {
			return "input " + p.Name
		}
		for _, t := range p.Allowed {
			if !accepts(*q, t) {
				return "input " + p.Name + " of type " + t.String()
			}
		}
	}
	if len(newer.Out) < len(older.Out) {
		return "outputs"
	}
	return ""
}

// TestML: versions of ai.onnx.ml, in the main graph and in functions.
func TestML(t *testing.T) {
	const text = `<ir_version: 8, opset_import: ["": 13, "ai.onnx.ml": 1, "local": 1]>
	g (string[N] x, int64[N] k) => (int64[N] y, string[N] z, string[N] u) {
		y = ai.onnx.ml.LabelEncoder <classes_strings = ["a", "b"], default_int64 = 7> (x)
		z = ai.onnx.ml.LabelEncoder <classes_strings = ["a", "b"]> (k)
		u = local.Name (k) }
	<domain: "local", opset_import: ["ai.onnx.ml": 2]>
	Name (k) => (u) { u = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1], values_strings = ["a", "b"]> (k) }`
	m, err := graph.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []int64{5, 1} {
		if err := Domain(m, "ai.onnx.ml", v); err != nil {
			t.Fatal(err)
		}
		for _, err := range op.Verify(m) {
			t.Error(err)
		}
		if v == 5 {
			wantParts(t, graph.Text(m), "ir_version: 10", `"ai.onnx.ml": 5`, "default_int64 = 7", `keys_strings = ["a", "b"]`, "values_int64s = [0, 1]",
				"keys_int64s = [0, 1]", `values_strings = ["a", "b"]`, "Name", `values_strings`)
		}
	}
	wantParts(t, graph.Text(m), `"ai.onnx.ml": 1`, `classes_strings = ["a", "b"]`, `classes_strings = ["a", "b"]`, "Name", `classes_strings = ["a", "b"]`)
	for _, c := range []struct {
		version      int64
		domain, want string
	}{{6, "ai.onnx.ml", "not between 1 and 5"}, {1, "com.microsoft", "no conversions"}} {
		if err := Domain(m, c.domain, c.version); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %d: %v", c.domain, c.version, err)
		}
	}
}

// TestFolded: what follows from constants is one in an opset without the operator.
func TestFolded(t *testing.T) {
	text := converted(t, `<ir_version: 8, opset_import: ["": 17]>
	g (float[4] x) => (float[4] y) <int64 n = {4}> { w = HannWindow (n) y = Mul (x, w) }`, 13)
	wantParts(t, text, "Constant <value = float[4]", "Mul (x, w)")
}

// TestSharedConstant: a Constant that a folded node reads twice goes away once.
func TestSharedConstant(t *testing.T) {
	text := converted(t, `<ir_version: 10, opset_import: ["": 13]>
	g (float[2] x) => (float[2] y) <float s = {0.5}> {
		k = Constant <value = int8 {4}> ()
		d = DequantizeLinear (k, s, k)
		y = Add (x, d)
	}`, 9)
	wantParts(t, text, "d = Constant <value = float {0.0}>", "Add (x, d)")
}

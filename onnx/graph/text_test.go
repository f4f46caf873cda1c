package graph

import (
	"strings"
	"testing"

	"onnxopt/onnx/tensor"
)

// TestTextOfParse: each text parses to the model that prints as want, or as
// the text itself.
func TestTextOfParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{text: "g (float x) => (float x) {\n}"},
		{text: `"a graph" (float[N,3,?,"2*N"] "x:0") => (float[] y) {` + "\n  y = Relu (\"x:0\")\n}"},
		{text: "g (x) => (y) {\n  y = com.microsoft.Gelu (x)\n}"},
		{text: "g (x) => (y) {\n  [\"n 1\"] y, \"\" = local.F:fast (x, \"\", x)\n}"},
		{text: "g (seq(float[2]) a, optional(seq(string)) b, map(int64, float) c, sparse_tensor(double[N]) d, opaque() e) => () {\n}"},
		{"# comment\n g(x)=>(y){y=Relu(x)}", "g (x) => (y) {\n  y = Relu (x)\n}"},
		{"g (x) => (y) { y = Op (x,,x,) z = Op (,) }", "g (x) => (y) {\n  y = Op (x, \"\", x)\n  z = Op (\"\")\n}"},
		{"g (x) => (y) { y = Late (z) z = Early (x) }", "g (x) => (y) {\n  y = Late (z)\n  z = Early (x)\n}"},
		{"g (float[2] x = {1,2}) => (x) {}", "g (float[2] x) => (x)\n  <float[2] x = {1.0,2.0}>\n{\n}"},
		{"g () => (y) { y = Op <a = 1, b = 1.5, c = \"s\\\"\\\\\", d = [1,2], e = [1, 2.5], f = [\"a\"], g: ints = [], h: float = 3, i = -inf, j: floats = [1]> () }",
			"g () => (y) {\n  y = Op <a = 1, b = 1.5, c = \"s\\\"\\\\\", d = [1, 2], e = [1.0, 2.5], f = [\"a\"], g: ints = [], h = 3.0, i = -inf, j = [1.0]> ()\n}"},
		{"g () => (y) { y = Op () <a = float {1}, b = int64[2] name = {1,2}, c = float[N], d: tensors = [bool {1}]> }",
			"g () => (y) {\n  y = Op <a = float {1.0}, b = int64[2] name {1,2}, c: type_proto = float[N], d: tensors = [bool {1}]> ()\n}"},
		{"g (x) => (y) { y = If (x) <then_branch = t () => (a) { a = Neg (x) }, gs: graphs = [u () => () {}]> }",
			"g (x) => (y) {\n  y = If (x) <then_branch = t () => (a) {\n      a = Neg (x)\n    }, gs: graphs = [u () => () {\n    }]>\n}"},
		{"g () => () <float16[2] h = {1, 0.5}, bfloat16 b = {1.0}, int4[3] i = {-8,7,0}, uint64 u = {18446744073709551615}, string[2] s = {\"a\",\"\"}, complex64 c = {1,-2}, float6e2m3[2] f = {1,-0.5}, float[0] e = {}, sparse_tensor(float[4]) p = {1} int64[1] {3}> {}",
			"g () => ()\n  <float16[2] h = {15360,14336}, bfloat16 b = {16256}, int4[3] i = {-8,7,0}, uint64 u = {18446744073709551615}, string[2] s = {\"a\",\"\"}, complex64 c = {1.0,-2.0}, float6e2m3[2] f = {1.0,-0.5}, float[0] e = {}, sparse_tensor(float[4]) p = {1.0} int64[1] {3}>\n{\n}"},
	} {
		g, err := ParseGraph(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if c.want == "" {
			c.want = c.text
		}
		got := TextOptions{}.GraphText(g)
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.text, got, c.want)
		}
		if again, err := ParseGraph(got); err != nil || (TextOptions{}).GraphText(again) != got {
			t.Errorf("%s does not parse to itself: %v", got, err)
		}
	}
}

func TestTextOfModel(t *testing.T) {
	const text = `<ir_version: 8, opset_import: ["": 17, "local": 1], producer_name: "p", doc_string: "two
lines", model_version: 3, metadata_props: ["k": "v"]>
g (float[N] x) => (float[N] y) {
  y = local.F <alpha = 2.0> (x)
}
<domain: "local", overload: "o", opset_import: ["": 17], doc_string: "d">
F <alpha, beta = 2.0> (u) => (v)
  <float[N] u, float[N] v>
{
  v = Elu <alpha: float = @alpha> (u)
}
`
	m, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
	if got := Text(m); got != text {
		t.Errorf("got\n%s", got)
	}
	if f := m.Functions[0]; f.Body.Inputs()[0].Type.String() != "float[N]" || f.Defaults[0].F != 2 || f.Opset("") != 17 {
		t.Errorf("function %+v", f)
	}
}

func TestTextCutsTensors(t *testing.T) {
	g := New("g")
	g.AddInitializer("w", &Data{Tensor: tensor.New(tensor.Int8, 1000)})
	short := TextOptions{}.GraphText(g)
	if len(short) > 100 || !strings.Contains(short, "{0,0,0,0,0,0,0,0, ...}") {
		t.Error(short)
	}
	if _, err := ParseGraph(short); err == nil || !strings.Contains(err.Error(), "left out") {
		t.Error(err)
	}
	if _, err := ParseGraph(TextOptions{Full: true}.GraphText(g)); err != nil {
		t.Error(err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "1:1: a name expected"},
		{"g (x) => (y) {", `1:15: a name expected`},
		{"g (x) = (y) {}", `1:8: "=>" expected`},
		{"g (x) => (y) {}", `1:11: output "y" is produced by nothing`},
		{"g (x, x) => () {}", `1:7: input "x" is not unique`},
		{"g () => () <float w = {1}, float w = {1}> {}", `1:34: initializer "w" is not unique`},
		{"g () => () <float[2] w = {1}> {}", "shape [2] with 1 elements"},
		{"g () => () <float[N] w = {1}> {}", "constant shape"},
		{"g () => () <float[1099511627776] w = {1}> {}", "with 1 elements"},
		{"g () => () <float[4611686018427387904,4611686018427387904] w = {1}> {}", "with 1 elements"},
		{"g () => () <int8 w = {200}> {}", "200 is no int8"},
		{"g () => () <int32 w = {1.5}> {}", "1.5 is no int32"},
		{"g () => () <float w = {x}> {}", "a number expected"},
		{"g () => () <float q> {}", `1:19: value "q" is produced by nothing`},
		{"g () => ()\n{\n  y = Op (z)\n}", `3:3: input "z" is produced by nothing`},
		{"g () => () { y = Op () y = Op () }", `output "y" is defined twice`},
		{"g () => () { y = Op <a> () }", "attribute a has no value"},
		{"g () => () { y = Op <a = 1, a = 2> () }", "attribute a is given twice"},
		{"g () => () { y = Op <a = []> () }", "the type of the list is missing"},
		{"g () => () { y = Op <a = [1, \"s\"]> () }", "elements of different kinds"},
		{"g () => () { y = Op <a: int = 1.5> () }", "the value is of another type"},
		{"g () => () { y = Op <a: nothing = 1> () }", `unknown attribute type "nothing"`},
		{"g () => () { y = Op <a = 99999999999999999999> () }", "no 64-bit integer"},
		{`g () => () { y = Op <a = "s`, "the string has no end"},
		{"g () => () {} more", "more text after the graph"},
		{"g (nothing(float) x) => () {}", `1:11: ")" expected`},
		{"g (seq() x) => () {}", `1:8: "(" expected`},
		{"g (" + strings.Repeat("seq(", 200) + "float x) => () {}", "nested deeper"},
	} {
		_, err := ParseGraph(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %v, want %s", c.text, err, c.want)
		}
	}
	for _, text := range []string{"<x: 1> g () => () {}", "<ir_version: 1.5> g () => () {}", "g () => () {} <domain: 1> F () => () {}"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s parsed", text)
		}
	}
}

// FuzzParse: a text is refused, or the model prints as a text that parses to
// the same text.
func FuzzParse(f *testing.F) {
	f.Add("<ir_version: 8, opset_import: [\"\": 17]> g (float[N] x) => (float[N] y) <float[2] w = {1,2}> { y = Add <a = 1> (x, w) }")
	f.Add("g (seq(float[2]) a, map(int64, float) c) => () { y = If (a) <t = t () => (q) { q = Neg (a) }, k: ints = [], r: float = @r> }")
	f.Add("g () => () <sparse_tensor(float[4]) p = {1} int64[1] {3}, float16 h = {0.5}> {}\n<domain: \"d\"> F <a, b = 2.0> (u) => (v) { v = Op (u) }")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		once := TextOptions{Full: true}.Text(m)
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%v\n%s", err, once)
		}
		if twice := (TextOptions{Full: true}).Text(again); twice != once {
			t.Fatalf("%s\nbecame\n%s", once, twice)
		}
	})
}

package check

import (
	"fmt"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
)

// blockText is 16 nodes as exporters write a block of a transformer, shapes
// computed from symbolic sizes.
const blockText = `
	sh_%[1]d = Shape (x_%[1]d)
	n_%[1]d = Gather <axis = 0> (sh_%[1]d, zero)
	l_%[1]d = Gather <axis = 0> (sh_%[1]d, one)
	nu_%[1]d = Unsqueeze (n_%[1]d, axes)
	lu_%[1]d = Unsqueeze (l_%[1]d, axes)
	heads_%[1]d = Concat <axis = 0> (nu_%[1]d, lu_%[1]d, four, two)
	flat_%[1]d = Concat <axis = 0> (nu_%[1]d, lu_%[1]d, eight)
	mm_%[1]d = MatMul (x_%[1]d, w)
	add_%[1]d = Add (mm_%[1]d, bias)
	r_%[1]d = Reshape (add_%[1]d, heads_%[1]d)
	t_%[1]d = Transpose <perm = [0, 2, 1, 3]> (r_%[1]d)
	s_%[1]d = Softmax <axis = -1> (t_%[1]d)
	u_%[1]d = Transpose <perm = [0, 2, 1, 3]> (s_%[1]d)
	f_%[1]d = Reshape (u_%[1]d, flat_%[1]d)
	sum_%[1]d = Add (f_%[1]d, x_%[1]d)
	x_%[2]d = Relu (sum_%[1]d)
`

const blockNodes = 16

// chain is a model of about the number of nodes, as file bytes.
func chain(t testing.TB, nodes int) []byte {
	var b strings.Builder
	blocks := nodes / blockNodes
	fmt.Fprintf(&b, `<ir_version: 8, opset_import: ["": 17]>
		chain (float[N,L,8] x_0) => (float[N,L,8] x_%d)
		<int64 zero = {0}, int64 one = {1}, int64[1] axes = {0}, int64[1] two = {2}, int64[1] four = {4}, int64[1] eight = {8},
		 float[8,8] w = {`, blocks)
	b.WriteString(strings.TrimSuffix(strings.Repeat("1,", 64), ",") + "}, float[8] bias = {1,1,1,1,1,1,1,1}>\n{")
	for i := range blocks {
		fmt.Fprintf(&b, blockText, i, i+1)
	}
	b.WriteString("}")
	m, err := graph.Parse(b.String())
	if err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// examine is what the command check does, parsing included.
func examine(t testing.TB, file []byte) {
	m, err := onnx.LoadBytes(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if errs := Model(m); len(errs) > 0 {
		t.Fatal(errs[0])
	}
}

// BenchmarkNodes shows how the time to parse and check, inference included, grows
// with the number of nodes: go test ./onnx/check -bench Nodes
func BenchmarkNodes(b *testing.B) {
	for _, n := range []int{1000, 3000, 6000, 10000, 30000, 100000} {
		file := chain(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				examine(b, file)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/node")
		})
	}
}

// TestChain: the shapes are known to the end.
func TestChain(t *testing.T) {
	file := chain(t, 1000)
	examine(t, file)
	m, err := onnx.LoadBytes(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := shape.Infer(m).Type(m.Graph.Outputs()[0]).String(); got != "float[N,L,8]" {
		t.Fatalf("inferred %s", got)
	}
}

// TestRefused: what an operator's own rule refuses, with the cause.
func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		`y, z = Split <num_outputs = 3> (x)`:           "num_outputs is 3 for 2 outputs",
		`y = Split <num_outputs = -1> (x)`:             "num_outputs is -1 for 1 outputs",
		`y = Resize <axes = [0, -2]> (x, "", k)`:       "axis -2 is named twice",
		`y = Resize <axes = [0, 2]> (x, "", k)`:        "axis 2 of rank 2",
		`s = Abs (x) y, z = Split <axis = 2> (x, two)`: "axis 2 of rank 2",
	} {
		m, err := graph.Parse(`<ir_version: 10, opset_import: ["": 18]> g (float[4,4] x) => (float[a,b] y)
			<float[2] k = {1, 1}, int64[2] two = {2, 2}> { ` + text + ` }`)
		if err != nil {
			t.Fatal(err)
		}
		if errs := Model(m); len(errs) == 0 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%s: %v", text, errs)
		}
	}
}

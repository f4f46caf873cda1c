package passes

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
	"onnxopt/runtime/samples"
)

var update = flag.Bool("update", false, "write what the passes do into the golden files")

// golden is one case of a golden file: what a pass makes of a graph. The file
// passes/GROUP/testdata/PASS.txt holds cases as
//
//	=== title
//	graph before
//	---
//	graph after, or same
type golden struct{ title, before, after string }

func readGolden(t *testing.T, path string) []golden {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []golden
	for _, part := range strings.Split("\n"+string(b), "\n=== ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		before, after, _ := strings.Cut(body, "\n---\n")
		out = append(out, golden{title, strings.TrimSpace(before), strings.TrimSpace(after)})
	}
	return out
}

// header is put before graphs that state no opset.
const header = `<ir_version: 10, opset_import: ["": 17]>`

func parseCase(t *testing.T, text string) *graph.Model {
	t.Helper()
	if !strings.HasPrefix(text, "<") {
		text = header + "\n" + text
	}
	m, err := graph.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

// TestGolden runs each pass alone on its cases, compares the text, and runs
// the graphs before and after on random inputs.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("*/testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			cases := readGolden(t, path)
			for i := range cases {
				t.Run(cases[i].title, func(t *testing.T) { runGolden(t, name, &cases[i]) })
			}
			if *update {
				writeGolden(t, path, cases)
			}
		})
	}
}

func writeGolden(t *testing.T, path string, cases []golden) {
	var b strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&b, "=== %s\n%s\n---\n%s\n\n", c.title, c.before, c.after)
	}
	if err := os.WriteFile(path, []byte(strings.TrimSuffix(b.String(), "\n")), 0o666); err != nil {
		t.Fatal(err)
	}
}

// lossyGolden is how lossy passes run on their cases: with these settings, on
// eight random samples, after the passes that they rely on.
var lossyGolden = map[string]struct {
	first    []string
	settings pass.Settings
}{
	"prune-magnitude": {settings: pass.Settings{Prune: pass.PruneSettings{Sparsity: 0.5}}},
	"cluster-weights": {settings: pass.Settings{Cluster: pass.ClusterSettings{Values: 2}}},
	"quantize":        {first: []string{"calibrate"}},
}

func runGolden(t *testing.T, name string, g *golden) {
	before := parseCase(t, g.before)
	lossy, isLossy := lossyGolden[name]
	list, err := Select(append([]string{name}, lossy.first...))
	if err != nil {
		t.Fatal(err)
	}
	m := before.Clone()
	o := pass.Options{Settings: lossy.settings}
	o.Settings.Opset = goldenOpset(g.title)
	if isLossy {
		o.Samples = goldenSamples{t, before}
	}
	if _, err := pass.Run(context.Background(), m, list, o); err != nil {
		t.Fatal(err)
	}
	valid(t, m)
	got := strings.TrimSpace(strings.TrimPrefix(graph.TextOptions{Full: true}.Text(m), header))
	if got == strings.TrimSpace(strings.TrimPrefix(graph.TextOptions{Full: true}.Text(before), header)) {
		got = "same"
	}
	if *update {
		g.after = got
	} else if got != g.after {
		t.Errorf("got\n%s\nwant\n%s", got, g.after)
	}
	if isLossy {
		return
	}
	equalOutputs(t, before, m, list[0].Effect)
	again, err := pass.Run(context.Background(), m, list, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := again.Changes(""); n != 0 {
		t.Errorf("a second run made %d changes: %v", n, again.Entries)
	}
}

// goldenSamples is eight random inputs.
type goldenSamples struct {
	t *testing.T
	m *graph.Model
}

func (s goldenSamples) Len() int       { return 8 }
func (s goldenSamples) BatchSize() int { return 2 }
func (s goldenSamples) Values(from, to int) ([]tensor.Value, error) {
	return randomInputs(s.t, s.m), nil
}

// goldenOpset is the target of a case whose title ends in "to opset N".
func goldenOpset(title string) (n int64) {
	if i := strings.LastIndex(title, "to opset "); i >= 0 {
		_, _ = fmt.Sscanf(title[i:], "to opset %d", &n)
	}
	return n
}

// valid checks structure, meaning and types of m.
func valid(t *testing.T, m *graph.Model) {
	t.Helper()
	if err := m.Verify(); err != nil {
		t.Fatal(err)
	}
	for _, err := range op.Verify(m) {
		t.Error(err)
	}
	for _, err := range shape.Infer(m).Conflicts {
		t.Error(err)
	}
}

// equalOutputs runs both on random inputs and compares as an effect allows.
func equalOutputs(t *testing.T, a, b *graph.Model, effect pass.Effect) {
	t.Helper()
	in := randomInputs(t, a)
	want, err := reference(a, in)
	if err != nil {
		return // the graph before was not runnable: nothing to compare with
	}
	got, err := reference(b, in)
	if err != nil {
		t.Error(err)
		return
	}
	for i := range want {
		x, ok := want[i].(*tensor.Tensor)
		y, ok2 := got[i].(*tensor.Tensor)
		if !ok || !ok2 {
			continue
		}
		if x.Type != y.Type || !slices.Equal(x.Shape, y.Shape) {
			t.Errorf("output %d is %v, was %v", i, y, x)
		} else if d := difference(x, y); d > map[pass.Effect]float64{pass.Exact: 0, pass.Close: 1e-5}[effect] {
			t.Errorf("output %d differs by %.2g", i, d)
		}
	}
}

// difference is the largest one relative to the largest value; equal bits and
// two NaNs differ by 0.
func difference(x, y *tensor.Tensor) float64 {
	if x.Equal(y) || x.Type == tensor.String {
		return 0
	}
	diff, top := 0.0, 0.0
	a, b := x.Floats(), y.Floats()
	for i := range a {
		if a[i] == b[i] || a[i] != a[i] && b[i] != b[i] {
			top = max(top, a[i], -a[i])
			continue
		}
		diff, top = max(diff, a[i]-b[i], b[i]-a[i]), max(top, a[i], -a[i])
	}
	if diff == 0 {
		return 0
	}
	return diff / max(top, 1e-30)
}

func reference(m *graph.Model, in []tensor.Value) ([]tensor.Value, error) {
	s, err := runtime.Compile(m, runtime.Options{Reference: true, MaxSteps: 10000})
	if err != nil {
		return nil, err
	}
	return s.Run(context.Background(), in)
}

// randomInputs is normal floats, and 0 or 1 for integers; symbols are 2.
func randomInputs(t *testing.T, m *graph.Model) []tensor.Value {
	t.Helper()
	if len(m.Graph.Inputs()) == 0 {
		return nil
	}
	var list []samples.Input
	for _, v := range m.Graph.Inputs() {
		in := samples.Input{Name: v.Name, Type: v.Type.Elem}
		for _, d := range v.Type.Shape {
			n, ok := d.Const()
			if !ok {
				n = 2
			}
			in.Shape = append(in.Shape, int(n))
		}
		list = append(list, in)
	}
	set, err := samples.Random(list, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, err := set.Values(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

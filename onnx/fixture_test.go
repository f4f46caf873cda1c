package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"onnxopt/onnx/graph"
)

// The fixtures are made by testdata/gen.py with the onnx Python library.

func TestPythonFile(t *testing.T) {
	b, err := os.ReadFile("testdata/all.onnx")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Load("testdata/all.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
	for _, m := range []*graph.Model{m, m.Clone()} {
		if got, err := Marshal(m); err != nil || !bytes.Equal(got, b) {
			t.Errorf("changed by a round trip: %v", err)
		}
	}
	if len(m.Training) != 1 || len(m.Graph.Quant) != 1 || len(m.Graph.Stray) != 1 || m.Graph.Find("spw").Data.Sparse == nil {
		t.Error("something is missing")
	}
	if got := m.Graph.Find("i4").Const().Ints(); !slices.Equal(got, []int64{1, -2, 3}) {
		t.Errorf("int4 %v", got)
	}
	if got := m.Graph.Find("h").Const().Float32s(); !slices.Equal(got, []float32{1, 3}) {
		t.Errorf("float16 %v", got)
	}
}

// TestPythonText: what onnx.printer writes parses, and prints as the file
// does without what the syntax lacks.
func TestPythonText(t *testing.T) {
	text, err := os.ReadFile("testdata/all.txt")
	if err != nil {
		t.Fatal(err)
	}
	m, err := graph.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	file, err := Load("testdata/all.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"i4", "c64", "spw"} {
		file.Graph.RemoveInitializer(file.Graph.Find(name))
	}
	file.Functions[0].Body.Doc, file.Functions[0].Defaults = "", nil // not printed
	if got, want := graph.Text(m), graph.Text(file); got != want {
		t.Errorf("text:\n%s\nfile:\n%s", got, want)
	}
}

func TestExternalFixture(t *testing.T) {
	m, err := Load("testdata/ext.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{"w0": {0, 1, 2, 3}, "w1": {4, 5, 6, 7}} {
		d := m.Graph.Find(name).Data
		if got := d.Tensor.Float32s(); !slices.Equal(got, want) || d.Layout != graph.External || d.Location != "ext.bin" {
			t.Errorf("%s is %v at %s", name, got, d.Location)
		}
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := Save(m, path, SaveOptions{Embed: true}); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Graph.Find("w1").Data; got.Layout != graph.Raw || !got.Tensor.Equal(m.Graph.Find("w1").Data.Tensor) {
		t.Errorf("embedded as %v in layout %d", got.Tensor, got.Layout)
	}
	b, err := os.ReadFile("testdata/ext.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadBytes(b, ""); err == nil {
		t.Error("external data without a folder")
	}
}

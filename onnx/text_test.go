package onnx

import (
	"testing"

	"onnxopt/onnx/graph"
)

// TestTextOfFiles: the text of every model that the environment names parses
// to a model with the same text.
func TestTextOfFiles(t *testing.T) {
	for _, path := range modelFiles(t) {
		m, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		text := graph.TextOptions{Full: true}.Text(m)
		back, err := graph.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if err := back.Verify(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if again := (graph.TextOptions{Full: true}).Text(back); again != text {
			t.Errorf("%s: the text changed", path)
		}
	}
}

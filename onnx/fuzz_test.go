//go:build unix

package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
)

// FuzzLoad: bytes are refused with one line, or the model is valid and does
// not change any more when it is written and read.
func FuzzLoad(f *testing.F) {
	for _, p := range []*onnxpb.ModelProto{small(), {Graph: nested(3)}} {
		b, err := marshal.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	if m, err := graph.Parse(rich); err == nil {
		b, _ := Marshal(m)
		f.Add(b)
	}
	files, _ := filepath.Glob("testdata/*.onnx")
	for _, path := range files {
		if b, err := os.ReadFile(path); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := LoadBytes(b, "")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of two lines: %v", err)
			}
			return
		}
		if err := m.Verify(); err != nil {
			t.Fatal(err)
		}
		once, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		graph.Text(m)
		again, err := LoadBytes(once, "")
		if err != nil {
			t.Fatalf("what was written does not load: %v", err)
		}
		for _, m := range []*graph.Model{again, again.Clone()} {
			if twice, err := Marshal(m); err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("the second round trip changed the file: %v", err)
			}
		}
	})
}

// FuzzValue: the same for sample files.
func FuzzValue(f *testing.F) {
	for kind := range byte(graph.OpaqueKind) {
		f.Add([]byte("\x08\x02\x10\x01\x4a\x08\x00\x00\x00\x00\x00\x00\x00\x00"), kind)
	}
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		v, name, err := LoadValue(b, graph.Kind(kind))
		if err != nil {
			return
		}
		if _, err := MarshalValue(v, name); err != nil && !strings.Contains(err.Error(), "different kinds") {
			t.Fatal(err)
		}
	})
}

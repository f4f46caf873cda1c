package onnx

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/onnxpb"
)

// modelFiles is every model below the folders that the environment names, and
// the shipped ones.
func modelFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	given := os.Getenv("ONNXOPT_ONNX_DATA")
	if given == "" && os.Getenv("CI") != "" {
		t.Fatal("ONNXOPT_ONNX_DATA is not set: run make test")
	}
	for _, dir := range append([]string{"../models"}, filepath.SplitList(given)...) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".onnx") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// canonical reports that b is as our marshaller writes it.
func canonical(t *testing.T, b []byte) (*onnxpb.ModelProto, bool) {
	t.Helper()
	p := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	again, err := marshal.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return p, bytes.Equal(again, b)
}

// TestRoundTrip: Save after Load keeps every message equal, and every byte of
// a file in the canonical order.
func TestRoundTrip(t *testing.T) {
	for _, path := range modelFiles(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Load(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if err := m.Verify(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		got, err := Marshal(m)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		p, exact := canonical(t, b)
		if q, _ := canonical(t, got); !proto.Equal(p, q) || exact && !bytes.Equal(b, got) {
			t.Errorf("%s: changed by a round trip", path)
		}
	}
}

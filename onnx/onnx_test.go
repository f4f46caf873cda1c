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

// normal is a model's protobuf as our own descriptors decode it, with what the
// standard calls equal made the same.
func normal(t *testing.T, b []byte) *onnxpb.ModelProto {
	t.Helper()
	p := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	return p
}

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
		once, err := Marshal(m)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if !bytes.Equal(once, b) && !sameModel(normal(t, once), normal(t, b)) {
			t.Errorf("%s: changed by a round trip", path)
		}
		again, err := LoadBytes(once, filepath.Dir(path))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if twice, _ := Marshal(again); !bytes.Equal(once, twice) {
			t.Errorf("%s: the second round trip differs from the first", path)
		}
	}
}

// sameModel compares field by field; an empty string and an absent one are
// the same.
func sameModel(a, b *onnxpb.ModelProto) bool {
	dropEmpty(a)
	dropEmpty(b)
	return proto.Equal(a, b)
}

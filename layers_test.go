package onnxopt

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers are the top-level folders, lowest first: imports only go down.
var layers = []string{"onnx", "runtime", "passes", "cmd"}

// leaves import nothing of this module.
var leaves = []string{"onnx/tensor", "onnx/dim", "onnx/onnxpb", "onnx/pack", "runtime/kernel"}

// only names the packages that alone may import another.
var only = map[string][]string{
	"onnx/onnxpb":    {"onnx"},
	"runtime/kernel": {"runtime", "runtime/grad", "runtime/lattice", "runtime/calibrate"},
}

// TestImportsGoDown reads the import lines of every file, tests excepted.
func TestImportsGoDown(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "_asm") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		for _, spec := range f.Imports {
			quoted, _ := strconv.Unquote(spec.Path.Value)
			if to, ok := strings.CutPrefix(quoted, "onnxopt/"); ok {
				if why := refused(from, to); why != "" {
					t.Errorf("%s imports %s: %s", path, to, why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// refused says what is wrong with an import, "" if nothing is.
func refused(from, to string) string {
	a, _, _ := strings.Cut(from, "/")
	b, _, _ := strings.Cut(to, "/")
	importers, guarded := only[to]
	switch {
	case slices.Index(layers, b) > slices.Index(layers, a):
		return a + " lies below " + b
	case slices.Contains(leaves, from):
		return from + " is a leaf"
	case guarded && !slices.Contains(importers, from):
		return "only " + strings.Join(importers, " and ") + " may"
	}
	return ""
}

package onnxopt

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write LICENSES anew")

// TestLicenses checks that LICENSES holds the licences of every module that is
// linked into the command, on any system, and of Go itself.
func TestLicenses(t *testing.T) {
	want := licenses(t)
	if *update {
		if err := os.WriteFile("LICENSES", want, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("LICENSES")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("LICENSES is not current: go test . -run Licenses -update")
	}
}

func licenses(t *testing.T) []byte {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{"Go's standard library": strings.TrimSpace(string(root))}
	if _, err := os.ReadFile("go.mod"); err != nil { // the cached result depends on it
		t.Fatal(err)
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}", "./cmd/onnxopt")
		list.Env = append(os.Environ(), "GOOS="+system)
		out, err := list.Output()
		if err != nil {
			t.Fatalf("go list for %s: %v", system, err)
		}
		for line := range strings.Lines(string(out)) {
			if name, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && !strings.HasPrefix(name, "onnxopt ") {
				modules[name] = dir
			}
		}
	}
	names := make([]string, 0, len(modules))
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	var table, texts bytes.Buffer
	for _, name := range names {
		text := licenseText(t, modules[name])
		fmt.Fprintf(&table, "%-14s %s\n", kind(t, name, text), name)
		fmt.Fprintf(&texts, "\n--- %s ---\n\n%s\n", name, strings.TrimSpace(text))
	}
	return append(table.Bytes(), texts.Bytes()...)
}

func licenseText(t *testing.T, dir string) string {
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return strings.ReplaceAll(string(b), "\r\n", "\n")
		}
	}
	t.Fatalf("%s has no licence file", dir)
	return ""
}

// kind is the SPDX name of a licence that may be linked into a program of any
// licence; others fail.
func kind(t *testing.T, module, text string) string {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case strings.Contains(text, "Permission is hereby granted, free of charge"):
		return "MIT"
	case strings.Contains(text, "Redistribution and use in source and binary forms") && strings.Contains(text, "Neither the name"):
		return "BSD-3-Clause"
	}
	t.Errorf("%s: what licence is that?\n%.200s", module, text)
	return ""
}

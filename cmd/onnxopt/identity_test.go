package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Samples are the same wherever they lie, and others if names, sizes or
// contents are others: any byte of small files, the end of large ones.
func TestIdentity(t *testing.T) {
	identity := func(name string, size, at int64) string {
		dir := t.TempDir()
		b := make([]byte, size)
		b[at] = 1
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := (&dataFlags{data: dir}).identity()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	seen := map[string]bool{}
	for _, c := range []struct {
		name     string
		size, at int64 // one byte is not 0
	}{
		{"a.npy", 1000, 500}, {"b.npy", 1000, 500}, {"a.npy", 1001, 500}, {"a.npy", 1000, 501},
		{"a.npy", identityBytes, 0}, {"a.npy", identityBytes, identityBytes / 2},
		{"a.npy", identityBytes + 1, 0}, {"a.npy", identityBytes + 1, identityBytes},
	} {
		id := identity(c.name, c.size, c.at)
		if seen[id] {
			t.Errorf("%v: as others", c)
		}
		seen[id] = true
		if identity(c.name, c.size, c.at) != id {
			t.Errorf("%v: not as its copy", c)
		}
	}
}

//go:build unix

package onnx

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What killed processes left is removed by the next that writes there; files
// that are being written, and those of other names, stay.
func TestStaleFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m[1].onnx")
	for _, name := range []string{".m[1].onnx.tmp7-0", ".m[1].onnx.tmp123-12", ".m[1].onnx.tmpx", ".m[1].onnx.tmp1", ".m[1].onnx.tmp-1-2", ".m1.onnx.tmp7-0"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write := func(w io.Writer) error { _, err := w.Write([]byte("whole")); return err }
	running, err := stageFile(context.Background(), path, write)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteTo(context.Background(), path, write); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir); len(got) != 6 {
		t.Errorf("left %q", got)
	}
	if err := running.commit(path); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir); len(got) != 5 {
		t.Errorf("left %q", got)
	}
}

// A write that is cancelled leaves the old file and nothing beside it.
func TestWriteIsCancelled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := WriteTo(ctx, path, func(w io.Writer) error {
		b := make([]byte, 3<<20)
		if _, err := w.Write(b); err != nil {
			return err
		}
		cancel()
		_, err := w.Write(b)
		return err
	})
	if b, _ := os.ReadFile(path); !errors.Is(err, context.Canceled) || string(b) != "old" || len(list(t, dir)) != 1 {
		t.Errorf("%v, %d bytes, %q", err, len(b), list(t, dir))
	}
	m := weights(2, 1000, 1)
	if err := Save(m, path, SaveOptions{External: true, Context: ctx}); !errors.Is(err, context.Canceled) || len(list(t, dir)) != 1 {
		t.Errorf("%v, %q", err, list(t, dir))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}

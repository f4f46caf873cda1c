package onnx

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// temporary is a file that is written beside the one that it will replace. As
// long as it is open it is locked: one that is not was left by a process that
// was killed, and the next that writes there removes it.
type temporary struct{ f *os.File }

// WriteTo writes a file as Save does: beside path, synced, then renamed.
// Nothing is written when ctx ends before.
func WriteTo(ctx context.Context, path string, write func(io.Writer) error) error {
	t, err := stageFile(ctx, path, write)
	if err != nil {
		return err
	}
	return t.commit(path)
}

// stageFile writes a temporary file beside path and syncs it.
func stageFile(ctx context.Context, path string, write func(io.Writer) error) (_ *temporary, err error) {
	t, err := createTemp(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.discard()
		}
	}()
	b := bufio.NewWriterSize(cancelledWriter{ctx, t.f}, 1<<20)
	if err := write(b); err != nil {
		return nil, err
	}
	if err := b.Flush(); err != nil {
		return nil, err
	}
	return t, t.f.Sync()
}

// cancelledWriter fails when its context has ended. A nil context does not.
type cancelledWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c cancelledWriter) Write(b []byte) (int, error) {
	if c.ctx != nil && c.ctx.Err() != nil {
		return 0, c.ctx.Err()
	}
	return c.w.Write(b)
}

// commit renames the file, or removes it if that fails.
func (t *temporary) commit(target string) error {
	if !renamesOpenFiles {
		t.f.Close()
	}
	if err := os.Rename(t.f.Name(), target); err != nil {
		t.discard()
		return err
	}
	t.f.Close()
	if dir, err := os.Open(filepath.Dir(target)); err == nil {
		_ = dir.Sync() // not every file system can
		dir.Close()
	}
	return nil
}

func (t *temporary) discard() {
	if renamesOpenFiles {
		os.Remove(t.f.Name()) // before others may lock it
	}
	t.f.Close()
	os.Remove(t.f.Name())
}

// createTemp makes a hidden file beside path, with the permissions of the file
// that is there, or those of any new file.
func createTemp(path string) (*temporary, error) {
	prefix := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	removeStale(prefix)
	mode := fs.FileMode(0o666)
	info, statErr := os.Stat(path)
	for i := range 10000 {
		name := prefix + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(i)
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if lockFile(f); !stillNames(name, f) { // removed as stale before it was locked
			f.Close()
			continue
		}
		t := &temporary{f}
		if statErr == nil {
			if err := f.Chmod(info.Mode().Perm()); err != nil {
				t.discard()
				return nil, err
			}
		}
		return t, nil
	}
	return nil, fmt.Errorf("too many temporary files")
}

// stillNames reports that f is the file of that name.
func stillNames(name string, f *os.File) bool {
	a, err := os.Lstat(name)
	if err != nil {
		return false
	}
	b, err := f.Stat()
	return err == nil && os.SameFile(a, b)
}

// removeStale removes temporary files that no process writes any more.
func removeStale(prefix string) {
	old, _ := filepath.Glob(escapeGlob(prefix) + "*")
	for _, name := range old {
		pid, i, ok := strings.Cut(name[len(prefix):], "-")
		if _, err := strconv.ParseUint(pid+i, 10, 64); err != nil || !ok {
			continue
		}
		f, err := os.OpenFile(name, openFlags, 0)
		if err != nil {
			continue
		}
		stale := lockFile(f) && stillNames(name, f)
		if !renamesOpenFiles {
			f.Close()
		}
		if stale {
			os.Remove(name)
		}
		f.Close()
	}
}

package main

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Every shard reads this much of the samples to identify them: contents of as
// many files, in pieces of so many bytes.
const (
	identityBytes = 16 << 20
	identityFiles = 256
	identityPiece = 4 << 10
)

// identity says which samples and labels these are, and how they are prepared:
// shards of others do not merge. It hashes the names of all files, and of
// identityFiles of them at even distances the size and up to identityBytes of
// contents, so all of what is not larger.
func (d *dataFlags) identity() (string, error) {
	text := ""
	for _, path := range []string{d.data, d.labels} {
		if path == "" {
			continue
		}
		path, err := filepath.EvalSymlinks(path)
		if err != nil {
			return "", err
		}
		h := sha256.New()
		files, err := identifyNames(h, path)
		if err != nil {
			return "", err
		}
		probes := min(len(files), identityFiles)
		for i := range probes {
			if err := identifyContents(h, files[i*(len(files)-1)/max(1, probes-1)], identityBytes/probes); err != nil {
				return "", err
			}
		}
		text += fmt.Sprintf("files %x ", h.Sum(nil)[:8])
	}
	return text + fmt.Sprintf("resize %s crop %s scale %g mean %v std %v layout %s bgr %v nearest %v cast %v", d.resize, d.crop, d.scale, d.mean, d.std, d.layout, d.bgr, d.nearest, d.cast), nil
}

// identifyNames hashes the names below path, and returns the files.
func identifyNames(h hash.Hash, path string) (files []string, err error) {
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(path, p)
		fmt.Fprintf(h, "%q\n", filepath.ToSlash(name))
		if !e.IsDir() {
			files = append(files, p)
		}
		return err
	})
	return files, err
}

// identifyContents hashes the size of a regular file, and up to limit bytes in
// pieces at even distances. The last one ends the file: there archives and
// compressed files have checksums of all of it.
func identifyContents(h hash.Hash, path string, limit int) error {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size := info.Size()
	fmt.Fprintln(h, size)
	if size <= int64(limit) {
		_, err = io.Copy(h, f)
		return err
	}
	pieces := int64(limit / identityPiece)
	for i := range pieces {
		at := (size - identityPiece) / (pieces - 1) * i
		if i == pieces-1 {
			at = size - identityPiece
		}
		if _, err := io.Copy(h, io.NewSectionReader(f, at, identityPiece)); err != nil {
			return err
		}
	}
	return nil
}

package onnx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/pack"
)

// SaveOptions choose where tensors are written. The zero value keeps external
// data external, and makes all data of 1 KB and more so when the file would
// pass 2 GB.
type SaveOptions struct {
	Embed    bool // take external data into the file
	External bool // write all tensors of 1 KB and more beside the file

	// Context ends the writing with its error; nil does not.
	Context context.Context

	limit int // of the file, for tests
}

// maxFile is the size of tensors up to which a model is one file; it leaves
// room below maxMessage for the graph.
const maxFile = maxMessage - 64<<20

// minExternal is the smallest tensor that is moved out of the file.
const minExternal = 1 << 10

// Save writes m to path, as a container of package pack if path has its
// extension. A temporary file beside it is synced and renamed over
// it when it is complete, so path never holds a part, and a model that was
// loaded from path stays valid; a symbolic link at path is replaced. External data goes into one file beside it,
// named path.HASH.data after its content: a run that is killed leaves either
// the old model with the old data or the new one with the new. Data files of
// that pattern that belonged to an earlier model at path are removed. The same
// model gives the same bytes.
func Save(m *graph.Model, path string, o SaveOptions) error {
	s, err := Stage(m, path, o)
	if err != nil {
		return err
	}
	return s.Commit()
}

// Staged is a model that is written and synced, but does not stand at its path
// yet: Save between its two halves.
type Staged struct {
	Bytes int64 // of the file and its data file

	path     string
	temp     *temporary
	location string // of the data file, "" if there is none
	data     string // the data file, if it was not there before
}

// Stage writes m beside path. Commit or Discard ends it.
func Stage(m *graph.Model, path string, o SaveOptions) (*Staged, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	s := &Staged{path: path}
	write := func(f io.Writer) error { return packTo(f, m) }
	if filepath.Ext(path) != pack.Extension {
		w := &writer{}
		if blobs := w.plan(m, o); len(blobs) > 0 {
			if err := s.writeData(o.Context, blobs, w.external); err != nil {
				return nil, fmt.Errorf("%s: data file: %w", path, rootCause(err))
			}
			w.location = s.location
		}
		write = func(f io.Writer) error { return w.write(f, m) }
	}
	var err error
	if s.temp, err = stageFile(o.Context, path, write); err != nil {
		s.Discard()
		return nil, fmt.Errorf("%s: %w", path, rootCause(err))
	}
	for _, name := range []string{s.temp.f.Name(), filepath.Join(filepath.Dir(path), s.location)} {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			s.Bytes += info.Size()
		}
	}
	return s, nil
}

// Load reads the staged model as Load will after Commit.
func (s *Staged) Load() (*graph.Model, error) { return Load(s.temp.f.Name()) }

// Commit puts the model at its path, and removes data files of earlier ones
// there.
func (s *Staged) Commit() error {
	if err := s.temp.commit(s.path); err != nil {
		s.Discard()
		return fmt.Errorf("%s: %w", s.path, rootCause(err))
	}
	old, _ := filepath.Glob(escapeGlob(s.path) + ".????????????????.data")
	for _, f := range old {
		if filepath.Base(f) != s.location && isDataName(f[len(s.path):]) {
			os.Remove(f)
		}
	}
	return nil
}

// Discard removes what Stage wrote.
func (s *Staged) Discard() {
	if s.temp != nil {
		s.temp.discard()
	}
	if s.data != "" {
		os.Remove(s.data)
	}
}

// packTo writes a container, which takes external data in.
func packTo(w io.Writer, m *graph.Model) error {
	b, err := Marshal(m)
	if err == nil {
		b, err = pack.Pack(b)
	}
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// isDataName reports .HASH.data with 16 hexadecimal digits.
func isDataName(suffix string) bool {
	if len(suffix) != len(".0123456789abcdef.data") {
		return false
	}
	_, err := hex.DecodeString(suffix[1:17])
	return err == nil
}

func escapeGlob(path string) string {
	var b []byte
	for i := range len(path) {
		if c := path[i]; c == '*' || c == '?' || c == '[' || c == '\\' && os.PathSeparator != '\\' {
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}

// blob is the place of a tensor in the data file.
type blob struct{ offset, length int64 }

// Tensors of a page and more start on a page, so that readers can map them.
const (
	pageSize   = 4096
	smallAlign = 64
)

// plan places the tensors that are to be external, and returns the distinct
// ones in the order of the file. Tensors in attributes stay in the file unless
// they alone pass its size.
func (w *writer) plan(m *graph.Model, o SaveOptions) []*graph.Data {
	if o.Embed {
		return nil
	}
	limit := o.limit
	if limit == 0 {
		limit = maxFile
	}
	total, inAttrs := 0, 0
	eachData(m, func(d *graph.Data, attr bool) {
		total += len(d.Tensor.Bytes())
		if attr && d.Layout != graph.External {
			inAttrs += len(d.Tensor.Bytes())
		}
	})
	var all []*graph.Data
	eachData(m, func(d *graph.Data, attr bool) {
		if !attr || d.Layout == graph.External || inAttrs > limit {
			all = append(all, d)
		}
	})
	most := o.External || total > limit
	w.external = map[*graph.Data]blob{}
	type bytesID struct {
		first *byte
		n     int
	}
	placed := map[bytesID]blob{}
	var out []*graph.Data
	end := int64(0)
	for _, d := range all {
		b := d.Tensor.Bytes()
		if len(b) == 0 || d.Layout != graph.External && !(most && len(b) >= minExternal) {
			continue
		}
		id := bytesID{unsafe.SliceData(b), len(b)}
		at, tied := placed[id]
		if !tied {
			align := int64(smallAlign)
			if len(b) >= pageSize {
				align = pageSize
			}
			at = blob{(end + align - 1) / align * align, int64(len(b))}
			end = at.offset + at.length
			placed[id] = at
			out = append(out, d)
		}
		w.external[d] = at
	}
	return out
}

// eachData visits the dense tensors that m stores: initializers and tensor
// attributes, also in subgraphs and functions.
func eachData(m *graph.Model, f func(d *graph.Data, attr bool)) {
	visit := func(d *graph.Data, attr bool) {
		if d != nil && d.Tensor != nil {
			f(d, attr)
		}
	}
	var walk func(g *graph.Graph)
	walk = func(g *graph.Graph) {
		for v := range g.Initializers() {
			visit(v.Data, false)
		}
		for n := range g.Nodes() {
			for _, a := range n.Attrs {
				visit(a.T, true)
				for _, d := range a.Tensors {
					visit(d, true)
				}
			}
			for sub := range n.Subgraphs() {
				walk(sub)
			}
		}
	}
	walk(m.Graph)
	for _, fn := range m.Functions {
		walk(fn.Body)
		for _, a := range fn.Defaults {
			visit(a.T, true)
		}
	}
}

// writeData writes the data file.
func (s *Staged) writeData(ctx context.Context, blobs []*graph.Data, places map[*graph.Data]blob) error {
	hash := sha256.New()
	temp, err := stageFile(ctx, s.path, func(f io.Writer) error {
		to := io.MultiWriter(f, hash)
		at := int64(0)
		for _, d := range blobs {
			b := places[d]
			if _, err := to.Write(make([]byte, b.offset-at)); err != nil {
				return err
			}
			if _, err := to.Write(d.Tensor.Bytes()); err != nil {
				return err
			}
			at = b.offset + b.length
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.location = filepath.Base(s.path) + "." + hex.EncodeToString(hash.Sum(nil)[:8]) + ".data"
	target := filepath.Join(filepath.Dir(s.path), s.location)
	if _, err := os.Lstat(target); err != nil {
		s.data = target
	}
	return temp.commit(target)
}

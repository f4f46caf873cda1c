// Package onnx reads and writes ONNX models. What no pass changes survives:
// names, order, metadata, doc strings, unknown protobuf fields, the form in
// which each tensor is stored, and whether an empty field is there at all, so
// that a file in the canonical field order is written back byte for byte.
package onnx

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/pack"
)

// maxNesting bounds how deep protobuf messages nest: a subgraph takes three
// levels, so about 130 subgraphs.
const maxNesting = 400

// Load reads a model. Its weights alias a private read-only mapping of the
// file, and of its external data files, which stays for the life of the
// process: replace such a file by renaming, as Save does, and never shorten it.
//
// The result is checked to be a graph: every input is produced by something,
// nothing is defined twice, there is no cycle. Nodes out of order are put in
// order, and a subgraph's value that hides one of an enclosing graph gets a
// fresh name, so that Verify holds. Errors are one line that names the file.
func Load(path string) (*graph.Model, error) {
	b, err := readFile(path)
	if err != nil {
		return nil, err
	}
	m, err := LoadBytes(b, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.Mapped = addMapped(m.Mapped, b)
	return m, nil
}

// addMapped appends what contents gave, if that is a mapping.
func addMapped(list [][]byte, b []byte) [][]byte {
	if canMap && len(b) > smallFile {
		list = append(list, b)
	}
	return list
}

// LoadBytes is Load for a model in b, or in a container of package pack, which
// the result aliases. External data is looked for below dir; with an empty dir
// it is an error.
func LoadBytes(b []byte, dir string) (*graph.Model, error) {
	if pack.Is(b) {
		var err error
		if b, err = pack.Unpack(b, maxMessage); err != nil {
			return nil, err
		}
	}
	if err := sniff(b); err != nil {
		return nil, err
	}
	p := &onnxpb.ModelProto{}
	if err := unmarshal(b, p); err != nil {
		return nil, diagnose(b, err)
	}
	if p.Graph == nil {
		return nil, fmt.Errorf("not an ONNX model: it has no graph")
	}
	r := &reader{dir: dir, files: map[string][]byte{}}
	m, err := r.model(p)
	if err != nil {
		return nil, err
	}
	for _, b := range r.files {
		m.Mapped = addMapped(m.Mapped, b)
	}
	return m, settle(m)
}

// sniff recognizes the common kinds of files that are no models.
func sniff(b []byte) error {
	if len(b) == 0 {
		return fmt.Errorf("the file is empty")
	}
	for _, k := range []struct {
		at          int
		magic, what string
	}{
		{0, "version https://git-lfs", "this is a Git LFS pointer, not the model: fetch the real file with git lfs pull"},
		{0, "PK\x03\x04", "not an ONNX model: it is a zip archive, as PyTorch writes"},
		{0, "\x89HDF", "not an ONNX model: it is an HDF5 file, as Keras writes"},
		{4, "TFL3", "not an ONNX model: it is a TensorFlow Lite model"},
		{4, "ORTM", "not an ONNX model: it is in the ORT format of onnxruntime"},
		{0, "<!DOCTYPE", "not an ONNX model: it is a web page"},
		{0, "<html", "not an ONNX model: it is a web page"},
	} {
		if len(b) >= k.at && bytes.HasPrefix(b[k.at:], []byte(k.magic)) {
			return fmt.Errorf("%s", k.what)
		}
	}
	return nil
}

// diagnose says why b does not decode as a ModelProto: nested too deep, cut
// off, or something else altogether.
func diagnose(b []byte, cause error) error {
	if strings.Contains(cause.Error(), "recursion") {
		return fmt.Errorf("messages nest deeper than %d levels", maxNesting)
	}
	fields := (&onnxpb.ModelProto{}).ProtoReflect().Descriptor().Fields()
	for rest := b; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 || fields.ByNumber(num) == nil {
			break
		}
		rest = rest[n:]
		size, k := protowire.ConsumeVarint(rest)
		if typ == protowire.BytesType && k > 0 && size > uint64(len(rest)-k) {
			return fmt.Errorf("truncated: field %s has %d bytes, %d are there",
				fields.ByNumber(num).Name(), size, len(rest)-k)
		}
		if n = protowire.ConsumeFieldValue(num, typ, rest); n < 0 {
			break
		}
		rest = rest[n:]
	}
	return fmt.Errorf("not an ONNX model, or a damaged one: malformed protobuf")
}

// Marshal is the model as one file, with external data taken in.
func Marshal(m *graph.Model) ([]byte, error) {
	var b bytes.Buffer
	w := &writer{}
	if err := w.write(&b, m); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Size is about how many bytes Marshal makes, without making them; the error is
// in the few fields of the model itself.
func Size(m *graph.Model) int {
	w := &writer{}
	n := 0
	for _, f := range m.Functions {
		n += marshal.Size(w.function(f))
	}
	return n + marshal.Size(w.graph(m.Graph)) + modelFields
}

// FileSize is how many bytes the model takes as one file, of any size, with
// external data taken in.
func FileSize(m *graph.Model) (int64, error) {
	var n counter
	err := (&writer{anySize: true}).write(&n, m)
	return int64(n), err
}

// Digest is the SHA-256 of the model as one file, of any size, with external
// data taken in.
func Digest(m *graph.Model) ([sha256.Size]byte, error) {
	h := sha256.New()
	err := (&writer{anySize: true}).write(h, m)
	return [sha256.Size]byte(h.Sum(nil)), err
}

// counter counts what is written to it.
type counter int64

func (n *counter) Write(b []byte) (int, error) {
	*n += counter(len(b))
	return len(b), nil
}

// modelFields is about the size of the fields of ModelProto beside graph and
// functions.
const modelFields = 128

// printable is text that stays on one line of a message.
func printable(s string) string {
	if len(s) > 200 {
		return strconv.Quote(s[:200]) + "..."
	}
	if !utf8.ValidString(s) || s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// Package onnx reads and writes ONNX models. What no pass changes survives:
// names, order, metadata, doc strings, unknown protobuf fields, the form in
// which each tensor is stored.
package onnx

import (
	"bytes"
	"fmt"
	"path/filepath"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/runtime/protoiface"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// maxNesting bounds how deep protobuf messages nest: about 100 subgraphs.
const maxNesting = 400

// Load reads a model. Its weights alias a private read-only mapping of the
// file, and of its external data files, which stays for the life of the
// process. Errors are one line that names the file.
func Load(path string) (*graph.Model, error) {
	b, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	m, err := LoadBytes(b, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// LoadBytes reads a model from b, which it aliases. External data is looked
// for below dir; with an empty dir it is an error.
func LoadBytes(b []byte, dir string) (*graph.Model, error) {
	if err := sniff(b); err != nil {
		return nil, err
	}
	p := &onnxpb.ModelProto{}
	if err := unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("not an ONNX model, or a truncated one: %w", err)
	}
	if p.Graph == nil {
		return nil, fmt.Errorf("not an ONNX model: it has no graph")
	}
	r := &reader{dir: dir, files: map[string][]byte{}}
	return r.model(p)
}

// sniff recognizes the common kinds of files that are no models.
func sniff(b []byte) error {
	switch {
	case len(b) == 0:
		return fmt.Errorf("the file is empty")
	case bytes.HasPrefix(b, []byte("version https://git-lfs")):
		return fmt.Errorf("this is a Git LFS pointer, not the model: fetch the real file with git lfs pull")
	}
	return nil
}

// unmarshal decodes without copying byte fields.
func unmarshal(b []byte, m proto.Message) error {
	r := m.ProtoReflect()
	_, err := r.ProtoMethods().Unmarshal(protoiface.UnmarshalInput{
		Message: r, Buf: b, Flags: protoiface.UnmarshalAliasBuffer, Depth: maxNesting})
	if err != nil {
		return fmt.Errorf("malformed protobuf")
	}
	return nil
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

// LoadValue reads a sample file: a TensorProto, SequenceProto or
// OptionalProto, as the kind of the graph input says.
func LoadValue(b []byte, kind graph.Kind) (tensor.Value, string, error) {
	r := &reader{}
	switch kind {
	case graph.SequenceKind:
		p := &onnxpb.SequenceProto{}
		if err := unmarshal(b, p); err != nil {
			return nil, "", err
		}
		v, err := r.sequenceValue(p)
		return v, p.GetName(), err
	case graph.OptionalKind:
		p := &onnxpb.OptionalProto{}
		if err := unmarshal(b, p); err != nil {
			return nil, "", err
		}
		v, err := r.optionalValue(p)
		return v, p.GetName(), err
	case graph.MapKind:
		p := &onnxpb.MapProto{}
		if err := unmarshal(b, p); err != nil {
			return nil, "", err
		}
		v, err := r.mapValue(p)
		return v, p.GetName(), err
	}
	p := &onnxpb.TensorProto{}
	if err := unmarshal(b, p); err != nil {
		return nil, "", err
	}
	d, err := r.data(p)
	if err != nil {
		return nil, "", err
	}
	return d.Tensor, p.GetName(), nil
}

// validText reports text that can be printed on one line.
func validText(s string) string {
	if !utf8.ValidString(s) || len(s) > 200 {
		return fmt.Sprintf("%.200q", s)
	}
	return s
}

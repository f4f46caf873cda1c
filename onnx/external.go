package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// external finds the bytes of a tensor in its data file.
func (r *reader) external(p *onnxpb.TensorProto, t tensor.DType, shape []int) ([]byte, string, error) {
	var location string
	var offset int64
	length := int64(-1)
	for _, e := range p.ExternalData {
		var err error
		switch e.GetKey() {
		case "location":
			location = e.GetValue()
		case "offset":
			offset, err = strconv.ParseInt(e.GetValue(), 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.GetValue(), 10, 64)
		}
		if err != nil {
			return nil, "", fmt.Errorf("external data: %s %q", e.GetKey(), validText(e.GetValue()))
		}
	}
	size, err := tensor.ByteSize(t, shape)
	if err != nil {
		return nil, "", err
	}
	b, err := r.dataFile(location)
	if err != nil {
		return nil, "", fmt.Errorf("external data: %w", err)
	}
	if offset < 0 || offset > int64(len(b)) || int64(size) > int64(len(b))-offset || length >= 0 && length != int64(size) {
		return nil, "", fmt.Errorf("external data: %v%v at offset %d of length %d does not fit %s of %d bytes",
			t, shape, offset, length, location, len(b))
	}
	return b[offset : offset+int64(size) : offset+int64(size)], location, nil
}

// dataFile maps a file of the model's folder, once. The path must not leave
// the folder, neither by its spelling nor through links.
func (r *reader) dataFile(location string) ([]byte, error) {
	if b, ok := r.files[location]; ok {
		return b, nil
	}
	if r.dir == "" {
		return nil, fmt.Errorf("%q: a model read from memory has no folder", validText(location))
	}
	if location == "" || !filepath.IsLocal(location) || strings.ContainsRune(location, 0) {
		return nil, fmt.Errorf("location %q leaves the model's folder", validText(location))
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(location)
	if err != nil {
		return nil, fmt.Errorf("location %s: %w", validText(location), rootCause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("location %s is not a regular file", validText(location))
	}
	f, err := root.Open(location)
	if err != nil {
		return nil, fmt.Errorf("location %s: %w", validText(location), rootCause(err))
	}
	defer f.Close()
	b, err := mapOpen(f)
	if err != nil {
		return nil, err
	}
	if r.files == nil {
		r.files = map[string][]byte{}
	}
	r.files[location] = b
	return b, nil
}

func rootCause(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}

// mapFile maps a regular file read-only.
func mapFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, rootCause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, rootCause(err))
	}
	defer f.Close()
	b, err := mapOpen(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

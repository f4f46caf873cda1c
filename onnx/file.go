package onnx

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// external reads a tensor from its data file. It takes location, offset and
// length; a checksum is dropped, as it is of the whole file, which Save writes
// anew.
func (r *reader) external(p *onnxpb.TensorProto, t tensor.DType, shape []int) (*tensor.Tensor, string, error) {
	var location string
	var offset int64
	length, given := int64(0), false
	var kept []*onnxpb.StringStringEntryProto
	for _, e := range p.ExternalData {
		var err error
		switch e.GetKey() {
		case "location":
			location = e.GetValue()
		case "offset":
			offset, err = strconv.ParseInt(e.GetValue(), 10, 64)
		case "length":
			given = true
			length, err = strconv.ParseInt(e.GetValue(), 10, 64)
		case "checksum":
		default:
			kept = append(kept, e)
		}
		if err != nil {
			return nil, "", fmt.Errorf("external data: %s %s is no number", e.GetKey(), printable(e.GetValue()))
		}
	}
	p.ExternalData = kept
	size, err := tensor.ByteSize(t, shape)
	if err != nil {
		return nil, "", err
	}
	b, err := r.dataFile(location)
	if err != nil {
		return nil, "", fmt.Errorf("external data: %w", err)
	}
	if !given {
		length = int64(size)
	}
	if offset < 0 || offset > int64(len(b)) || int64(size) > int64(len(b))-offset || length != int64(size) {
		return nil, "", fmt.Errorf("external data: %v%v at offset %d of length %d does not fit %s of %d bytes",
			t, shape, offset, length, printable(location), len(b))
	}
	x, err := tensor.FromBytes(t, shape, b[offset:offset+int64(size):offset+int64(size)])
	return x, location, err
}

// dataFile maps a file of the model's folder, once. The path must not leave
// the folder, neither by its spelling nor through links.
func (r *reader) dataFile(location string) ([]byte, error) {
	if b, ok := r.files[location]; ok {
		return b, nil
	}
	if r.dir == "" {
		return nil, fmt.Errorf("%s: a model read from memory has no folder", printable(location))
	}
	if !filepath.IsLocal(location) || strings.ContainsRune(location, 0) {
		return nil, fmt.Errorf("location %s leaves the model's folder", printable(location))
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, rootCause(err)
	}
	defer root.Close()
	f, err := root.OpenFile(location, openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("location %s: %w", printable(location), rootCause(err))
	}
	defer f.Close()
	b, err := contents(f)
	if err != nil {
		return nil, fmt.Errorf("location %s: %w", printable(location), err)
	}
	r.files[location] = b
	return b, nil
}

// DataFiles is the files of the external data of a loaded model, as its tensors
// name them: slash-separated, relative to its folder, sorted, each once.
func DataFiles(m *graph.Model) []string {
	var list []string
	eachData(m, func(d *graph.Data, _ bool) {
		if d.Layout == graph.External {
			list = append(list, d.Location)
		}
	})
	slices.Sort(list)
	return slices.Compact(list)
}

// smallFile is the size up to which a file is read instead of mapped.
const smallFile = 1 << 20

// contents is what an open file holds. It must be a regular one: others can
// block or have no end.
func contents(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, rootCause(err)
	}
	switch size := info.Size(); {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("not a regular file")
	case size != int64(int(size)):
		return nil, fmt.Errorf("%d bytes do not fit the address space", size)
	case size > smallFile:
		return mapFile(f, int(size))
	default:
		b := make([]byte, size)
		_, err := io.ReadFull(f, b)
		return b, err
	}
}

// readFile is the contents of a model file.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, rootCause(err))
	}
	defer f.Close()
	b, err := contents(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func rootCause(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}

package samples

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"onnxopt/onnx/tensor"
)

// idxTypes are the element types of the idx format, big endian, by the third
// byte of the file.
var idxTypes = map[byte]tensor.DType{
	0x08: tensor.Uint8, 0x09: tensor.Int8, 0x0b: tensor.Int16,
	0x0c: tensor.Int32, 0x0d: tensor.Float32, 0x0e: tensor.Float64,
}

// parseIDX reads the header of an idx file, gzipped or not, and checks that
// its data is all there. The closer ends the reading of a gzip stream.
func parseIDX(f *sizedFile) (*array, io.Closer, error) {
	var r io.ReaderAt = f
	var closer io.Closer
	zipped := f.form() == formGzip
	if zipped {
		z := gunzip(f)
		r, closer = z, z
	}
	a, offset, err := idxHeader(r, f.path)
	if err == nil {
		var size int64
		if size, err = a.elem.bytes(a.shape); err == nil {
			a.data = io.NewSectionReader(r, offset, size)
			switch {
			case size > math.MaxInt64-offset:
				err = fmt.Errorf("shape %v has too many elements", a.shape)
			case zipped:
				err = gunzippedSize(f, size+offset)
			case size+offset != f.size:
				err = fmt.Errorf("%v%v wants %d bytes, %d follow the header", a.elem, a.shape, size, f.size-offset)
			}
		}
	}
	if err != nil {
		if closer != nil {
			closer.Close()
		}
		return nil, nil, fmt.Errorf("%s: idx: %w", f.path, err)
	}
	return a, closer, nil
}

func idxHeader(r io.ReaderAt, title string) (*array, int64, error) {
	head := make([]byte, 4)
	if err := readFull(r, head, 0); err != nil {
		return nil, 0, err
	}
	d, ok := idxTypes[head[2]]
	if head[0] != 0 || head[1] != 0 || !ok {
		return nil, 0, fmt.Errorf("the file begins with % x", head)
	}
	dims := make([]byte, 4*int(head[3]))
	if err := readFull(r, dims, 4); err != nil {
		return nil, 0, err
	}
	a := &array{title: title, elem: element{dtype: d, width: storedBytes(d), big: true}, shape: []int{}}
	for ; len(dims) > 0; dims = dims[4:] {
		a.shape = append(a.shape, int(binary.BigEndian.Uint32(dims)))
	}
	return a, 4 + 4*int64(head[3]), nil
}

// openIDX opens an idx file: unsigned bytes of rank 3 or 4 are images, others
// arrays of the one input.
func (s *Set) openIDX(f *sizedFile, opt *Options) error {
	a, closer, err := parseIDX(f)
	if err != nil {
		return err
	}
	if closer != nil {
		s.closers = append(s.closers, closer)
	}
	if path := LabelsBeside(f.path); path != "" {
		s.labels = func() ([]int, error) { return readLabels(path) }
	}
	in, err := s.onlyInput(f.path)
	if err != nil {
		return err
	}
	if a.elem.dtype == tensor.Uint8 && (len(a.shape) == 3 || len(a.shape) == 4) {
		frames, err := idxFrames(a, opt)
		if err != nil {
			return err
		}
		return s.bindImages(in, frames, opt)
	}
	return s.bindArrays(map[string]*array{s.inputs[in].Name: a}, opt)
}

// LabelsBeside is the labels-idx1 file that belongs to an images-idx3 file, or
// "" if there is none.
func LabelsBeside(path string) string {
	dir, base := filepath.Split(path)
	for _, r := range []*strings.Replacer{
		strings.NewReplacer("images", "labels", "idx3", "idx1"),
		strings.NewReplacer("images", "labels", "idx3", "idx1", ".gz", ""),
	} {
		name := r.Replace(base)
		if name == base || !strings.Contains(base, "images") {
			continue
		}
		if st, err := os.Stat(dir + name); err == nil && st.Mode().IsRegular() {
			return dir + name
		}
	}
	return ""
}

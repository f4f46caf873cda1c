package samples

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"onnxopt/onnx/tensor"
)

// openZip opens the arrays of an npz whose names keep selects. It also gives
// the names of all.
func (s *Set) openZip(f *sizedFile, keep func(name string) bool) (map[string]*array, []string, error) {
	z, err := zip.NewReader(f, f.size)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.path, err)
	}
	arrays := map[string]*array{}
	var names []string
	for _, e := range z.File {
		name, ok := strings.CutSuffix(e.Name, ".npy")
		if !ok {
			continue
		}
		names = append(names, name)
		if !keep(name) {
			continue
		}
		title := f.path + "[" + name + "]"
		if arrays[name] != nil {
			return nil, nil, fmt.Errorf("%s: twice in the file", title)
		}
		r, err := zipReader(f, e)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", title, err)
		}
		if c, ok := r.(io.Closer); ok {
			s.closers = append(s.closers, c)
		}
		if arrays[name], err = parseNPY(r, int64(e.UncompressedSize64), title); err != nil {
			return nil, nil, err
		}
	}
	return arrays, names, nil
}

// zipReader is the content of an entry, whose claimed size is possible.
func zipReader(f *sizedFile, e *zip.File) (io.ReaderAt, error) {
	offset, err := e.DataOffset()
	if err != nil {
		return nil, err
	}
	if e.Flags&1 != 0 {
		return nil, errors.New("encrypted")
	}
	if offset > f.size || e.CompressedSize64 > uint64(f.size-offset) {
		return nil, errors.New("truncated")
	}
	if e.UncompressedSize64/maxRatio > e.CompressedSize64 {
		return nil, fmt.Errorf("%d bytes cannot come from %d compressed", e.UncompressedSize64, e.CompressedSize64)
	}
	if e.Method == zip.Store {
		if e.CompressedSize64 != e.UncompressedSize64 {
			return nil, fmt.Errorf("stored with sizes %d and %d", e.CompressedSize64, e.UncompressedSize64)
		}
		return io.NewSectionReader(f, offset, int64(e.CompressedSize64)), nil
	}
	return &stream{open: e.Open}, nil
}

func (s *Set) openNPZ(f *sizedFile, opt *Options) error {
	wanted := map[string]bool{}
	for _, list := range [][]Input{s.inputs, opt.Outputs} {
		for _, in := range list {
			wanted[in.Name] = true
		}
	}
	arrays, names, err := s.openZip(f, func(n string) bool { return wanted[n] })
	if err != nil {
		return err
	}
	for _, in := range s.inputs {
		if arrays[in.Name] == nil && !in.Optional {
			slices.Sort(names)
			return fmt.Errorf("%s: no array %q for the model input (it has %s)", f.path, in.Name, list(names))
		}
	}
	if i := slices.IndexFunc(labelKeys, func(k string) bool { return !wanted[k] && slices.Contains(names, k) }); i >= 0 {
		s.labels = func() ([]int, error) { return zipLabels(f, labelKeys[i]) }
	}
	return s.bindArrays(arrays, opt)
}

// labelKeys are the names that labels have in an npz.
var labelKeys = []string{"labels", "label", "y"}

// zipLabels is nil if there is no array of that name.
func zipLabels(f *sizedFile, key string) ([]int, error) {
	var s Set
	defer s.Close()
	arrays, _, err := s.openZip(f, func(n string) bool { return n == key })
	if err != nil {
		return nil, err
	}
	if arrays[key] == nil {
		return nil, nil
	}
	return arrays[key].labels()
}

// list is names for an error, not too many.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + fmt.Sprintf(" and %d more", len(names)-8)
	}
	return strings.Join(names, ", ")
}

// Array is a tensor with its name.
type Array struct {
	Name   string
	Tensor *tensor.Tensor
}

// WriteNPZ writes arrays as numpy.savez does: the same arrays give the same
// bytes. Types that numpy lacks are written as the ml_dtypes package has them:
// bfloat16 as two void bytes, floats of at most 8 bits as one, integers below
// 8 bits as int8 or uint8.
func WriteNPZ(w io.Writer, arrays []Array) error {
	z := zip.NewWriter(w)
	for i, a := range arrays {
		if slices.ContainsFunc(arrays[:i], func(b Array) bool { return a.Name == b.Name }) {
			return fmt.Errorf("npz: array %q twice", a.Name)
		}
		e, err := z.CreateHeader(&zip.FileHeader{Name: a.Name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		if err := WriteNPY(e, a.Tensor); err != nil {
			return fmt.Errorf("npz: array %q: %w", a.Name, err)
		}
	}
	return z.Close()
}

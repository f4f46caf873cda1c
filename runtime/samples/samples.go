// Package samples reads the inputs, recorded outputs and labels that users
// have for a model: npy, npz, ONNX test_data_set folders, idx and image
// folders. A Set holds open files and names, never the samples, so its memory
// does not grow with their number (a few bytes for each file of a folder
// apart).
//
// Everything read is checked against the size of its file and against
// Options.MaxBytes before memory is allocated for it. Errors are one line that
// names the file and the sample, what was found and what the model wants.
package samples

import (
	"fmt"
	"io"
	"os"
	"slices"

	"onnxopt/onnx/tensor"
)

// Input is what a model says about one of its inputs or outputs.
type Input struct {
	Name string
	// Type is the element type; Undefined accepts any.
	Type tensor.DType
	// Shape has -1 for a size that may vary. Nil accepts any rank.
	Shape []int
	// Optional inputs, those with a default or of an optional type, may be
	// absent from a source.
	Optional bool
}

// Role says what samples are for. It chooses between the files of a folder
// that holds several sets.
type Role int

const (
	// Any needs a folder that holds one set.
	Any Role = iota
	// Calibration prefers calib, then train.
	Calibration
	// Evaluation prefers t10k and test, then val and eval.
	Evaluation
)

// Options of Open. The zero value reads arrays as they are and 8-bit images
// scaled to [0, 1].
type Options struct {
	// Outputs are the model's outputs. Arrays of their names in an npz, and
	// output_*.pb of a test_data_set, are recorded outputs: see Set.Expected.
	Outputs []Input
	// Role chooses between the sets of a folder.
	Role Role
	// Cast converts arrays of another element type than the input's; a value
	// outside the range of an integer type remains an error.
	Cast bool
	// MaxBytes bounds what one sample, decoded, may occupy; 0 is 256 MiB.
	MaxBytes int
	// Image is what is done to images and to idx of unsigned bytes.
	Image Image
	// ParsePB parses one input_*.pb or output_*.pb of a test_data_set: a
	// TensorProto, SequenceProto or OptionalProto as the type of the input
	// that it is for asks. It gives the name that the proto holds.
	ParsePB func(b []byte, in Input) (tensor.Value, string, error)
}

const defaultMaxBytes = 256 << 20

func (o *Options) maxBytes() int {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return defaultMaxBytes
}

// source is the reading side of a Set. The values of batch are in the order of
// the inputs, those of expected in that of Options.Outputs; expected may give
// nil. from and to are in range.
type source interface {
	batch(from, to int) ([]tensor.Value, error)
	expected(from, to int) ([]tensor.Value, error)
	// name is the file of a sample, or "".
	name(i int) string
}

// Set is an open source of samples. Its methods may be called by several
// goroutines at once.
type Set struct {
	source
	path   string
	inputs []Input
	n      int
	// size is the number of rows that the model's fixed batch axis wants, 0
	// for a model that takes any number.
	size    int
	labels  func() ([]int, error) // nil: the source has none
	closers []io.Closer
}

// Open opens path as samples for the inputs. The form is told from the
// content. Close the Set after use.
func Open(path string, inputs []Input, opt Options) (*Set, error) {
	if len(inputs) == 0 {
		return nil, fmt.Errorf("%s: the model has no inputs", path)
	}
	s := &Set{path: path, inputs: slices.Clone(inputs)}
	if err := s.open(path, &opt); err != nil {
		s.Close()
		return nil, err
	}
	if s.n == 0 {
		s.Close()
		return nil, fmt.Errorf("%s: no samples", path)
	}
	return s, nil
}

func (s *Set) open(path string, opt *Options) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return s.openFolder(path, opt)
	}
	return s.openFile(path, opt)
}

// openFile opens a file by its first bytes.
func (s *Set) openFile(path string, opt *Options) error {
	f, err := openSized(path)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, f)
	switch f.form() {
	case formNPY:
		return s.openNPY(f, opt)
	case formZip:
		return s.openNPZ(f, opt)
	case formIDX, formGzip:
		return s.openIDX(f, opt)
	case formImage:
		return s.openImages([]string{path}, nil, opt)
	case formEmpty:
		return fmt.Errorf("%s: empty file", path)
	case formLFS:
		return fmt.Errorf("%s: a Git LFS pointer, not the file itself (git lfs pull fetches it)", path)
	}
	return fmt.Errorf("%s: not npy, npz, idx or an image", path)
}

// Len is the number of samples: of rows along the first axis of arrays, of
// images, or of test_data_set folders.
func (s *Set) Len() int { return s.n }

// BatchSize is the number of rows that Values makes for the model: 0 when it
// takes any number, 1 when samples cannot be stacked.
func (s *Set) BatchSize() int { return s.size }

// Values reads samples from <= i < to, stacked along axis 0: one value for each
// of the inputs, in their order, nil for an absent optional one. With a
// BatchSize, at most so many samples are read at once, and fewer are filled up
// by repeating the last: the model's outputs then have rows to ignore.
func (s *Set) Values(from, to int) ([]tensor.Value, error) {
	if err := s.span(from, to); err != nil {
		return nil, err
	}
	return s.source.batch(from, to)
}

// Batch is Values by input name, for models whose inputs are all tensors.
func (s *Set) Batch(from, to int) (map[string]*tensor.Tensor, error) {
	list, err := s.Values(from, to)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*tensor.Tensor, len(list))
	for i, v := range list {
		if v == nil {
			continue
		}
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return nil, fmt.Errorf("%s: model input %q is a %T, not a tensor", s.path, s.inputs[i].Name, v)
		}
		out[s.inputs[i].Name] = t
	}
	return out, nil
}

// Expected is the recorded outputs for the same samples, in the order of
// Options.Outputs: nil where there is none. They are never filled up.
func (s *Set) Expected(from, to int) ([]tensor.Value, error) {
	if err := s.span(from, to); err != nil {
		return nil, err
	}
	return s.source.expected(from, to)
}

func (s *Set) span(from, to int) error {
	switch {
	case from < 0 || to > s.n || from >= to:
		return fmt.Errorf("%s: samples %d to %d of %d", s.path, from, to, s.n)
	case s.size > 0 && to-from > s.size:
		return fmt.Errorf("%s: %d samples at once, the model takes %d", s.path, to-from, s.size)
	}
	return nil
}

// Name is the file that holds sample i alone, relative to the folder that was
// opened, or "".
func (s *Set) Name(i int) string { return s.source.name(i) }

// Shares reports that both sets read the same file or folder.
func (s *Set) Shares(other *Set) bool {
	a, err := os.Stat(s.path)
	b, err2 := os.Stat(other.path)
	return err == nil && err2 == nil && os.SameFile(a, b)
}

// Labels is the class of every sample if the source itself tells: sub-folders
// of images, labels-idx1 beside images-idx3, an array "labels" in an npz. Nil
// if it does not. Sub-folders with numbers as names are those classes, others
// count from 0 in sorted order.
func (s *Set) Labels() ([]int, error) {
	if s.labels == nil {
		return nil, nil
	}
	l, err := s.labels()
	if err == nil && len(l) != s.n {
		err = fmt.Errorf("%s: %d labels for %d samples", s.path, len(l), s.n)
	}
	return l, err
}

// Close closes the files.
func (s *Set) Close() error {
	var first error
	for _, c := range s.closers {
		if err := c.Close(); err != nil && first == nil {
			first = err
		}
	}
	s.closers = nil
	return first
}

// setBatchSize records that the model's batch axis is fixed to k rows.
func (s *Set) setBatchSize(k int, in Input) error {
	if s.size != 0 && s.size != k {
		return fmt.Errorf("%s: model input %q takes %d rows at once, another %d", s.path, in.Name, k, s.size)
	}
	s.size = k
	return nil
}

// title names sample i in errors.
func title(i int, name string) string {
	if name == "" {
		return fmt.Sprintf("sample %d", i)
	}
	return fmt.Sprintf("sample %d (%s)", i, name)
}

// matches reports whether a shape is one that want, with -1 for any, allows.
func matches(want, shape []int) bool {
	return slices.EqualFunc(want, shape, func(w, d int) bool { return w < 0 || w == d })
}

// wantShape is a shape for errors, with ? for sizes that may vary.
func wantShape(shape []int) string {
	out := "["
	for i, d := range shape {
		if i > 0 {
			out += " "
		}
		if d < 0 {
			out += "?"
		} else {
			out += fmt.Sprint(d)
		}
	}
	return out + "]"
}

package samples

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"onnxopt/onnx/tensor"
)

const npyMagic = "\x93NUMPY"

// maxHeader bounds the header of an npy file; numpy's own limit is 10,000.
const maxHeader = 1 << 16

var (
	npyDescr   = regexp.MustCompile(`['"]descr['"]\s*:\s*['"]([^'"]*)['"]`)
	npyFortran = regexp.MustCompile(`['"]fortran_order['"]\s*:\s*(True|False)`)
	npyShape   = regexp.MustCompile(`['"]shape['"]\s*:\s*\(([^)]*)\)`)
)

// parseNPY reads the header of an npy file of the size (NEP 1, versions 1 to
// 3) and checks that its data is all there.
func parseNPY(r io.ReaderAt, size int64, title string) (*array, error) {
	header, offset, err := npyHeader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	a := &array{title: title}
	if a.elem, a.shape, err = parseNPYHeader(header); err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	bytes, err := a.elem.bytes(a.shape)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	if bytes > size-offset {
		return nil, fmt.Errorf("%s: truncated: %v%v wants %d bytes, %d follow the header", title, a.elem, a.shape, bytes, size-offset)
	}
	a.data = io.NewSectionReader(r, offset, bytes)
	return a, nil
}

// npyHeader is the header's text and the offset of the data.
func npyHeader(r io.ReaderAt) (string, int64, error) {
	head := make([]byte, 12)
	if err := readFull(r, head, 0); err != nil {
		return "", 0, err
	}
	if string(head[:6]) != npyMagic {
		return "", 0, errors.New("not an npy file")
	}
	var length, offset int64
	switch head[6] {
	case 1:
		length, offset = int64(binary.LittleEndian.Uint16(head[8:])), 10
	case 2, 3:
		length, offset = int64(binary.LittleEndian.Uint32(head[8:])), 12
	default:
		return "", 0, fmt.Errorf("npy version %d.%d", head[6], head[7])
	}
	if length > maxHeader {
		return "", 0, fmt.Errorf("npy header of %d bytes, the limit is %d", length, maxHeader)
	}
	text := make([]byte, length)
	if err := readFull(r, text, offset); err != nil {
		return "", 0, err
	}
	return string(text), offset + length, nil
}

func parseNPYHeader(text string) (element, []int, error) {
	descr, order, dims := npyDescr.FindStringSubmatch(text), npyFortran.FindStringSubmatch(text), npyShape.FindStringSubmatch(text)
	switch {
	case descr == nil && strings.Contains(text, "'descr': ["):
		return element{}, nil, errors.New("structured array; save one array for each input")
	case descr == nil || order == nil || dims == nil:
		return element{}, nil, errors.New("npy header without descr, fortran_order and shape")
	}
	e, err := parseDescr(descr[1])
	if err != nil {
		return e, nil, err
	}
	shape := []int{}
	for tok := range strings.SplitSeq(dims[1], ",") {
		tok = strings.TrimSuffix(strings.TrimSpace(tok), "L") // Python 2
		if tok == "" {
			continue
		}
		d, err := strconv.Atoi(tok)
		if err != nil || d < 0 {
			return e, nil, fmt.Errorf("size %q in the npy shape", tok)
		}
		shape = append(shape, d)
	}
	if order[1] == "True" && len(shape) > 1 {
		return e, nil, errors.New("stored in Fortran order; save numpy.ascontiguousarray of it")
	}
	return e, shape, nil
}

// npyTypes are the elements of numpy's array interface, by kind and bytes.
var npyTypes = map[string]tensor.DType{
	"f2": tensor.Float16, "f4": tensor.Float32, "f8": tensor.Float64,
	"i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32, "i8": tensor.Int64,
	"u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64,
	"b1": tensor.Bool, "c8": tensor.Complex64, "c16": tensor.Complex128,
	"V1": tensor.Undefined, "V2": tensor.Undefined,
}

func parseDescr(s string) (element, error) {
	if len(s) < 3 || !strings.ContainsRune("<>|=", rune(s[0])) {
		if s == "|O" || s == "O" {
			return element{}, errors.New("array of Python objects; save it with a numeric type")
		}
		return element{}, fmt.Errorf("npy type %q", s)
	}
	width, err := strconv.Atoi(s[2:])
	if err != nil || width <= 0 || width > 1<<20 {
		return element{}, fmt.Errorf("npy type %q", s)
	}
	e := element{width: width, big: s[0] == '>'}
	switch s[1] {
	case 'U':
		e.dtype, e.width, e.utf32 = tensor.String, 4*width, true
		return e, nil
	case 'S':
		e.dtype = tensor.String
		return e, nil
	}
	var ok bool
	if e.dtype, ok = npyTypes[s[1:]]; !ok {
		return element{}, fmt.Errorf("npy type %q", s)
	}
	return e, nil
}

func (s *Set) openNPY(f *sizedFile, opt *Options) error {
	in, err := s.onlyInput(f.path)
	if err != nil {
		return err
	}
	a, err := parseNPY(f, f.size, f.path)
	if err != nil {
		return err
	}
	return s.bindArrays(map[string]*array{s.inputs[in].Name: a}, opt)
}

package samples

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"onnxopt/onnx/tensor"
)

// element is how one element of an array is stored.
type element struct {
	// dtype is Undefined for bytes of a type that the file does not name, as
	// numpy stores bfloat16 and the 8-bit floats.
	dtype tensor.DType
	width int // bytes
	big   bool
	utf32 bool // String of 4-byte characters, else of bytes
}

func (e element) String() string {
	if e.dtype == tensor.Undefined {
		return fmt.Sprintf("void%d", 8*e.width)
	}
	return e.dtype.String()
}

// array is a dense row-major array in a file.
type array struct {
	title string // for errors
	elem  element
	shape []int
	data  io.ReaderAt // begins at element 0
}

// bytes is the size of the whole array, checked for overflow.
func (e element) bytes(shape []int) (int64, error) {
	n, err := tensor.Count(shape)
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt/max(e.width, 1) {
		return 0, fmt.Errorf("shape %v has too many elements", shape)
	}
	return int64(n) * int64(e.width), nil
}

// read reads the elements of the shape from element first on.
func (a *array) read(first int, shape []int) (*tensor.Tensor, error) {
	size, err := a.elem.bytes(shape)
	if err != nil {
		return nil, err
	}
	if a.elem.dtype == tensor.String {
		return a.readStrings(first, shape, int(size))
	}
	d := a.elem.dtype
	if d == tensor.Undefined {
		d = tensor.Uint8
		if a.elem.width == 2 {
			d = tensor.Uint16
		}
	}
	t := tensor.New(d, shape...)
	b := t.Bytes()
	if err := a.readBytes(b, first); err != nil {
		return nil, err
	}
	if a.elem.big {
		swap(b, a.elem.width, d.IsComplex())
	}
	if d == tensor.Bool {
		for i, v := range b {
			if v != 0 {
				b[i] = 1
			}
		}
	}
	return t, nil
}

func (a *array) readBytes(b []byte, first int) error {
	return readFull(a.data, b, int64(first)*int64(a.elem.width))
}

// swap reverses the bytes of every number.
func swap(b []byte, width int, complex bool) {
	if complex {
		width /= 2
	}
	for i := 0; width > 1 && i < len(b); i += width {
		slices.Reverse(b[i : i+width])
	}
}

func (a *array) readStrings(first int, shape []int, size int) (*tensor.Tensor, error) {
	b := make([]byte, size)
	if err := a.readBytes(b, first); err != nil {
		return nil, err
	}
	n, _ := tensor.Count(shape)
	out := make([]string, n)
	for i := range out {
		e := b[i*a.elem.width : (i+1)*a.elem.width]
		if !a.elem.utf32 {
			out[i] = strings.TrimRight(string(e), "\x00")
			continue
		}
		var s strings.Builder
		order := binary.ByteOrder(binary.LittleEndian)
		if a.elem.big {
			order = binary.BigEndian
		}
		for ; len(e) >= 4; e = e[4:] {
			r := order.Uint32(e)
			if r > utf8.MaxRune {
				return nil, fmt.Errorf("%#x is not a character", r)
			}
			s.WriteRune(rune(r))
		}
		out[i] = strings.TrimRight(s.String(), "\x00")
	}
	return tensor.FromStrings(shape, out)
}

// checkType reports whether elements e can feed an input of type want.
func checkType(e element, want tensor.DType, cast bool) error {
	switch {
	case want == tensor.Undefined || e.dtype == want:
		return nil
	case e.dtype == tensor.Undefined:
		if want.IsFloat() && storedBytes(want) == e.width || want.Bits() < 8 && e.width == 1 {
			return nil // the same bits
		}
		return fmt.Errorf("type %v cannot become %v", e, want)
	case !isReal(e.dtype) || !isReal(want):
		return fmt.Errorf("type %v cannot become %v", e, want)
	case !cast:
		return fmt.Errorf("type %v, wants %v (--cast converts)", e, want)
	}
	return nil
}

func isReal(d tensor.DType) bool { return d.IsFloat() || d.IsInt() || d == tensor.Bool }

// storedBytes is the bytes of an element in an npy file, where those narrower
// than a byte take a whole one.
func storedBytes(d tensor.DType) int { return (d.Bits() + 7) / 8 }

// convert makes t, read from elements e, of the wanted type; checkType has
// allowed it.
func convert(t *tensor.Tensor, e element, want tensor.DType) (*tensor.Tensor, error) {
	switch {
	case want == tensor.Undefined || t.Type == want:
		return t, nil
	case e.dtype == tensor.Undefined && want.Bits() < 8:
		return packCodes(want, t.Shape, t.Bytes()), nil
	case e.dtype == tensor.Undefined:
		return t.As(want), nil
	case t.Type.IsFloat():
		f := t.Floats()
		if want.IsInt() {
			if err := checkRange(f, want); err != nil {
				return nil, err
			}
		}
		return tensor.FromFloats(want, t.Shape, f), nil
	case !want.IsInt():
		return tensor.FromFloats(want, t.Shape, t.Floats()), nil
	}
	ints := t.Ints()
	lo, hi := want.IntRange()
	if t.Type == tensor.Uint64 {
		lo = max(lo, 0) // above MaxInt64 they wrapped
	}
	for _, v := range ints {
		if v < lo || v > hi {
			return nil, fmt.Errorf("%d is outside the range of %v", v, want)
		}
	}
	return tensor.FromInts(want, t.Shape, ints), nil
}

// checkRange reports a value that an integer type does not hold, truncated.
func checkRange(v []float64, want tensor.DType) error {
	lo, hi := -math.Ldexp(1, want.Bits()-1), math.Ldexp(1, want.Bits()-1)
	if !want.IsSigned() {
		lo, hi = 0, math.Ldexp(1, want.Bits())
	}
	for _, x := range v {
		if n := math.Trunc(x); !(n >= lo && n < hi) {
			return fmt.Errorf("%v is outside the range of %v", x, want)
		}
	}
	return nil
}

// packCodes packs one storage code a byte into d, whose elements are narrower:
// the low bits of each, low bits first.
func packCodes(d tensor.DType, shape []int, codes []byte) *tensor.Tensor {
	t := tensor.New(d, shape...)
	b, w := t.Bytes(), d.Bits()
	for i, c := range codes {
		at, shift := i*w/8, i*w%8
		bits := uint16(c) & (1<<w - 1) << shift
		b[at] |= byte(bits)
		if shift+w > 8 {
			b[at+1] |= byte(bits >> 8)
		}
	}
	return t
}

// unpackCodes is the inverse of packCodes.
func unpackCodes(t *tensor.Tensor) []byte {
	out, b, w := make([]byte, t.Len()), t.Bytes(), t.Type.Bits()
	for i := range out {
		at, shift := i*w/8, i*w%8
		bits := uint16(b[at]) >> shift
		if shift+w > 8 {
			bits |= uint16(b[at+1]) << (8 - shift)
		}
		out[i] = byte(bits) & (1<<w - 1)
	}
	return out
}

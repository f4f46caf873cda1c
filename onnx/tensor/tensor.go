package tensor

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Tensor is a dense array, row-major. Treat a tensor as immutable once
// another holder may have it: initializers can alias a mapped file.
type Tensor struct {
	Type    DType
	Shape   []int
	data    []byte   // all types but String
	strings []string // String
}

// Native are the Go types that a view can have.
type Native interface {
	~float32 | ~float64 | ~int8 | ~int16 | ~int32 | ~int64 |
		~uint8 | ~uint16 | ~uint32 | ~uint64 | ~bool | ~complex64 | ~complex128
}

// Count is the number of elements of a shape; an error for a negative size or
// more than fit an int.
func Count(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative size in shape %v", shape)
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %v has too many elements", shape)
		}
		n *= d
	}
	return n, nil
}

// ByteSize is the storage in bytes of a tensor, 0 for String.
func ByteSize(t DType, shape []int) (int, error) {
	n, err := Count(shape)
	if err != nil {
		return 0, err
	}
	if !t.Valid() {
		return 0, fmt.Errorf("invalid element type %v", t)
	}
	if b := t.Bits(); b >= 8 {
		if n > math.MaxInt/(b/8) {
			return 0, fmt.Errorf("shape %v has too many elements", shape)
		}
		return n * (b / 8), nil
	} else if b > 0 {
		return n/8*b + (n%8*b+7)/8, nil
	}
	return 0, nil
}

// New makes a zeroed tensor. It panics on a shape that has no size; check
// sizes that come from outside with Make or ByteSize.
func New(t DType, shape ...int) *Tensor {
	x, err := Make(t, shape, math.MaxInt)
	if err != nil {
		panic(err)
	}
	return x
}

// Make makes a zeroed tensor of at most limit bytes.
func Make(t DType, shape []int, limit int) (*Tensor, error) {
	size, err := ByteSize(t, shape)
	if err != nil {
		return nil, err
	}
	x := &Tensor{Type: t, Shape: slices.Clone(shape)}
	if t == String {
		n, _ := Count(shape)
		size = n
		if n > limit/16 {
			return nil, fmt.Errorf("tensor %v%v exceeds the limit of %d bytes", t, shape, limit)
		}
		x.strings = make([]string, n)
		return x, nil
	}
	if size > limit {
		return nil, fmt.Errorf("tensor %v%v of %d bytes exceeds the limit of %d", t, shape, size, limit)
	}
	x.data = alignedBytes(size)
	return x, nil
}

// alignedBytes allocates with the alignment of the widest element.
func alignedBytes(n int) []byte {
	if n == 0 {
		return nil
	}
	w := make([]complex128, (n+15)/16)
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), len(w)*16)[:n:n]
}

// FromBytes wraps b, which is not copied and must have exactly the size of
// the shape.
func FromBytes(t DType, shape []int, b []byte) (*Tensor, error) {
	size, err := ByteSize(t, shape)
	if err != nil {
		return nil, err
	}
	if t == String {
		return nil, fmt.Errorf("strings have no byte form")
	}
	if len(b) != size {
		return nil, fmt.Errorf("%v%v wants %d bytes, got %d", t, shape, size, len(b))
	}
	return &Tensor{Type: t, Shape: slices.Clone(shape), data: b}, nil
}

// FromStrings wraps s.
func FromStrings(shape []int, s []string) (*Tensor, error) {
	n, err := Count(shape)
	if err != nil {
		return nil, err
	}
	if n != len(s) {
		return nil, fmt.Errorf("shape %v wants %d strings, got %d", shape, n, len(s))
	}
	return &Tensor{Type: String, Shape: slices.Clone(shape), strings: s}, nil
}

// Of wraps data, one of Go's own types, as a tensor of the same element type.
// It panics if the shape does not fit.
func Of[T Native](shape []int, data []T) *Tensor {
	n, err := Count(shape)
	if err != nil || n != len(data) {
		panic(fmt.Sprintf("tensor.Of: shape %v for %d elements", shape, len(data)))
	}
	t := &Tensor{Type: typeOf[T](), Shape: slices.Clone(shape)}
	if n > 0 {
		t.data = unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), n*int(unsafe.Sizeof(data[0])))
	}
	return t
}

// Scalar is a rank-0 tensor.
func Scalar[T Native](v T) *Tensor { return Of(nil, []T{v}) }

// Vector is a rank-1 tensor.
func Vector[T Native](v ...T) *Tensor { return Of([]int{len(v)}, v) }

func typeOf[T Native]() DType {
	var v T
	switch any(v).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case bool:
		return Bool
	case complex64:
		return Complex64
	case complex128:
		return Complex128
	}
	panic(fmt.Sprintf("tensor: no element type for %T", v))
}

// View is the elements as []T, which must have the width of the element type
// (uint16 for Float16, say). It aliases the tensor when the bytes are aligned,
// else it is a copy: write only to tensors that New made.
func View[T Native](t *Tensor) []T {
	var v T
	w := int(unsafe.Sizeof(v))
	if t.Type.Bits() != 8*w {
		panic(fmt.Sprintf("tensor.View: %T of %v", v, t.Type))
	}
	if len(t.data) == 0 {
		return nil
	}
	p := unsafe.Pointer(&t.data[0])
	if uintptr(p)%unsafe.Alignof(v) != 0 {
		b := alignedBytes(len(t.data))
		copy(b, t.data)
		p = unsafe.Pointer(&b[0])
	}
	return unsafe.Slice((*T)(p), len(t.data)/w)
}

// Bytes is the storage: little endian, types below 8 bits packed low bits
// first. Nil for strings.
func (t *Tensor) Bytes() []byte { return t.data }

// Strings is the elements of a String tensor.
func (t *Tensor) Strings() []string { return t.strings }

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Rank is the number of dimensions.
func (t *Tensor) Rank() int { return len(t.Shape) }

// Reshaped is the same elements under another shape of as many elements; it
// panics otherwise.
func (t *Tensor) Reshaped(shape ...int) *Tensor {
	n, err := Count(shape)
	if err != nil || n != t.Len() {
		panic(fmt.Sprintf("tensor: %v reshaped to %v", t.Shape, shape))
	}
	return &Tensor{Type: t.Type, Shape: slices.Clone(shape), data: t.data, strings: t.strings}
}

// As is the same bits under another element type of the same width.
func (t *Tensor) As(d DType) *Tensor {
	if d.Bits() != t.Type.Bits() {
		panic(fmt.Sprintf("tensor: %v as %v", t.Type, d))
	}
	return &Tensor{Type: d, Shape: t.Shape, data: t.data}
}

// Clone copies the elements.
func (t *Tensor) Clone() *Tensor {
	c := &Tensor{Type: t.Type, Shape: slices.Clone(t.Shape), strings: slices.Clone(t.strings)}
	c.data = alignedBytes(len(t.data))
	copy(c.data, t.data)
	return c
}

// Equal reports same type, shape and bits.
func (t *Tensor) Equal(o *Tensor) bool {
	return t.Type == o.Type && slices.Equal(t.Shape, o.Shape) &&
		string(t.data) == string(o.data) && slices.Equal(t.strings, o.strings)
}

func (t *Tensor) String() string {
	return fmt.Sprintf("%v%v", t.Type, t.Shape)
}

// Strides is the row-major element distance of each dimension.
func Strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// Broadcast is the common shape under ONNX's multidirectional (numpy)
// broadcasting.
func Broadcast(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			o := &out[rank-len(s)+i]
			switch {
			case *o == d || d == 1:
			case *o == 1:
				*o = d
			default:
				return nil, fmt.Errorf("shapes %v do not broadcast", shapes)
			}
		}
	}
	return out, nil
}

package tensor

import (
	"fmt"
	"math"
)

// Floats is the elements as float64: exact for every real type but 64-bit
// integers. Bool gives 0 and 1. It panics for strings and complex numbers.
func (t *Tensor) Floats() []float64 {
	out := make([]float64, t.Len())
	switch t.Type {
	case Float32:
		convertTo(out, View[float32](t))
	case Float64:
		copy(out, View[float64](t))
	case Uint64:
		convertTo(out, View[uint64](t))
	default:
		if t.Type.IsFloat() {
			decode := decoder(t.Type)
			t.eachCode(func(i int, c uint16) { out[i] = decode(c) })
		} else {
			convertTo(out, t.Ints())
		}
	}
	return out
}

func convertTo[D, S float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](dst []D, src []S) {
	for i, v := range src {
		dst[i] = D(v)
	}
}

// Float32s is the elements as float32: a view for Float32, else converted.
func (t *Tensor) Float32s() []float32 {
	if t.Type == Float32 {
		return View[float32](t)
	}
	out := make([]float32, t.Len())
	convertTo(out, t.Floats())
	return out
}

// Ints is the elements of an integer or Bool tensor as int64; Uint64 wraps.
func (t *Tensor) Ints() []int64 {
	out := make([]int64, t.Len())
	switch t.Type {
	case Int64:
		copy(out, View[int64](t))
	case Uint64:
		convertTo(out, View[uint64](t))
	case Int32:
		convertTo(out, View[int32](t))
	case Uint32:
		convertTo(out, View[uint32](t))
	case Int16:
		convertTo(out, View[int16](t))
	case Uint16:
		convertTo(out, View[uint16](t))
	case Int8:
		convertTo(out, View[int8](t))
	case Uint8:
		convertTo(out, t.data)
	case Bool:
		for i, v := range t.data {
			if v != 0 {
				out[i] = 1
			}
		}
	case Int4, Int2:
		shift := 64 - t.Type.Bits()
		t.eachCode(func(i int, c uint16) { out[i] = int64(c) << shift >> shift })
	case Uint4, Uint2:
		t.eachCode(func(i int, c uint16) { out[i] = int64(c) })
	default:
		panic(fmt.Sprintf("tensor: %v has no integers", t.Type))
	}
	return out
}

// Bools is the elements of a Bool tensor.
func (t *Tensor) Bools() []bool {
	out := make([]bool, t.Len())
	for i, v := range t.data {
		out[i] = v != 0
	}
	return out
}

// Complexes is the elements of a complex tensor.
func (t *Tensor) Complexes() []complex128 {
	if t.Type == Complex128 {
		return View[complex128](t)
	}
	out := make([]complex128, t.Len())
	for i, v := range View[complex64](t) {
		out[i] = complex128(v)
	}
	return out
}

// FromFloats rounds v to the nearest value of d, ties to even. Integers are
// truncated toward zero and wrap; values beyond an 8- or 4-bit float saturate.
func FromFloats(d DType, shape []int, v []float64) *Tensor {
	t := New(d, shape...)
	switch d {
	case Float32:
		convertTo(View[float32](t), v)
	case Float64:
		copy(View[float64](t), v)
	case Bool:
		for i, x := range v {
			if x != 0 {
				t.data[i] = 1
			}
		}
	default:
		if d.IsFloat() {
			encode := encoder(d, true)
			t.setCodes(len(v), func(i int) uint16 { return encode(v[i]) })
			return t
		}
		ints := make([]int64, len(v))
		for i, x := range v {
			ints[i] = truncate(x)
		}
		return FromInts(d, shape, ints)
	}
	return t
}

// truncate is a float64 to int64 conversion that does not depend on the CPU:
// NaN gives the smallest int64, as amd64 does; values of [2^63, 2^64) keep
// their bits.
func truncate(x float64) int64 {
	switch {
	case x >= 1<<63 && x < 1<<64:
		return int64(uint64(x))
	case x > -(1<<63) && x < 1<<63:
		return int64(x)
	}
	return math.MinInt64
}

// FromInts makes a tensor of any real type; integers wrap, floats round.
func FromInts(d DType, shape []int, v []int64) *Tensor {
	t := New(d, shape...)
	switch d {
	case Int64:
		copy(View[int64](t), v)
	case Uint64:
		convertTo(View[uint64](t), v)
	case Int32:
		convertTo(View[int32](t), v)
	case Uint32:
		convertTo(View[uint32](t), v)
	case Int16:
		convertTo(View[int16](t), v)
	case Uint16:
		convertTo(View[uint16](t), v)
	case Int8:
		convertTo(View[int8](t), v)
	case Uint8:
		convertTo(t.data, v)
	case Bool:
		for i, x := range v {
			if x != 0 {
				t.data[i] = 1
			}
		}
	case Int4, Uint4, Int2, Uint2:
		t.setCodes(len(v), func(i int) uint16 { return uint16(v[i]) })
	default:
		f := make([]float64, len(v))
		convertTo(f, v)
		return FromFloats(d, shape, f)
	}
	return t
}

// conversionPart is how many elements are converted at a time: whole bytes of
// every type.
const conversionPart = 1 << 16

// Convert is FromFloats(d, t.Shape, v) of v = t.Floats() after f, which may be
// nil. Only a part of the elements is there as float64 at a time.
func (t *Tensor) Convert(d DType, f func(v []float64)) *Tensor {
	return build(d, t.Shape, func(from, to int) *Tensor {
		part := Tensor{Type: t.Type, Shape: []int{to - from}, data: t.data[from*t.Type.Bits()/8 : (to*t.Type.Bits()+7)/8]}
		v := part.Floats()
		if f != nil {
			f(v)
		}
		return FromFloats(d, part.Shape, v)
	})
}

// BuildInts is FromInts(d, shape, v) of the v that fill sets, a part of it at a
// time: v[i] is element from+i.
func BuildInts(d DType, shape []int, fill func(from int, v []int64)) *Tensor {
	return build(d, shape, func(from, to int) *Tensor {
		v := make([]int64, to-from)
		fill(from, v)
		return FromInts(d, []int{to - from}, v)
	})
}

func build(d DType, shape []int, part func(from, to int) *Tensor) *Tensor {
	out := New(d, shape...)
	for n, from := out.Len(), 0; from < n; from += conversionPart {
		copy(out.data[from*d.Bits()/8:], part(from, min(from+conversionPart, n)).data)
	}
	return out
}

// FromBools makes a Bool tensor.
func FromBools(shape []int, v []bool) *Tensor {
	t := New(Bool, shape...)
	for i, x := range v {
		if x {
			t.data[i] = 1
		}
	}
	return t
}

// FromComplexes makes a Complex64 or Complex128 tensor.
func FromComplexes(d DType, shape []int, v []complex128) *Tensor {
	t := New(d, shape...)
	if d == Complex128 {
		copy(View[complex128](t), v)
		return t
	}
	out := View[complex64](t)
	for i, x := range v {
		out[i] = complex64(x)
	}
	return t
}

// eachCode visits the storage bits of every element of at most 16 bits. Types
// narrower than a byte form one little-endian bit stream.
func (t *Tensor) eachCode(f func(i int, code uint16)) {
	n := t.Len()
	switch b := t.Type.Bits(); b {
	case 16:
		for i, v := range View[uint16](t) {
			f(i, v)
		}
	case 8:
		for i, v := range t.data {
			f(i, uint16(v))
		}
	default:
		mask := uint16(1<<b - 1)
		for i := range n {
			at, shift := i*b/8, i*b%8
			bits := uint16(t.data[at]) >> shift
			if shift+b > 8 {
				bits |= uint16(t.data[at+1]) << (8 - shift)
			}
			f(i, bits&mask)
		}
	}
}

func (t *Tensor) setCodes(n int, code func(i int) uint16) {
	switch b := t.Type.Bits(); b {
	case 16:
		d := View[uint16](t)
		for i := range n {
			d[i] = code(i)
		}
	case 8:
		for i := range n {
			t.data[i] = byte(code(i))
		}
	default:
		mask := uint16(1<<b - 1)
		for i := range n {
			at, shift := i*b/8, i*b%8
			bits := code(i) & mask << shift
			t.data[at] |= byte(bits)
			if shift+b > 8 {
				t.data[at+1] |= byte(bits >> 8)
			}
		}
	}
}

func (s *Sparse) scatter(out *Tensor) error {
	if s.Values.Rank() != 1 || s.Indices.Type != Int64 {
		return fmt.Errorf("sparse tensor: values %v, indices %v", s.Values, s.Indices)
	}
	nnz, rank, idx := s.Values.Len(), len(s.Shape), s.Indices.Ints()
	linear := s.Indices.Rank() == 1
	if linear && len(idx) != nnz || !linear && (s.Indices.Rank() != 2 || len(idx) != nnz*rank) {
		return fmt.Errorf("sparse tensor: %d values, indices %v", nnz, s.Indices)
	}
	stride, total := Strides(s.Shape), out.Len()
	w := s.Values.Type.Bits() / 8
	for i := range nnz {
		at := 0
		if linear {
			if idx[i] < 0 || idx[i] >= int64(total) {
				return fmt.Errorf("sparse tensor: index %d outside %v", idx[i], s.Shape)
			}
			at = int(idx[i])
		} else {
			for d, v := range idx[i*rank : (i+1)*rank] {
				if v < 0 || v >= int64(s.Shape[d]) {
					return fmt.Errorf("sparse tensor: index %d outside %v", v, s.Shape)
				}
				at += int(v) * stride[d]
			}
		}
		switch {
		case out.Type == String:
			out.strings[at] = s.Values.strings[i]
		case w > 0:
			copy(out.data[at*w:(at+1)*w], s.Values.data[i*w:])
		default:
			return fmt.Errorf("sparse tensor of packed type %v", out.Type)
		}
	}
	return nil
}

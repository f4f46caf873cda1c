// Package tensor holds ONNX values: dense tensors of every element type of
// the standard, and the sequences, optionals and maps built from them.
//
// Elements are stored little endian and densely packed, exactly as
// TensorProto.raw_data has them, so a tensor can alias the bytes of a file.
package tensor

import "fmt"

// DType is an element type. The numbers are those of TensorProto.DataType.
type DType uint8

const (
	Undefined      DType = 0
	Float32        DType = 1
	Uint8          DType = 2
	Int8           DType = 3
	Uint16         DType = 4
	Int16          DType = 5
	Int32          DType = 6
	Int64          DType = 7
	String         DType = 8
	Bool           DType = 9
	Float16        DType = 10
	Float64        DType = 11
	Uint32         DType = 12
	Uint64         DType = 13
	Complex64      DType = 14
	Complex128     DType = 15
	BFloat16       DType = 16
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24
	Uint2          DType = 25
	Int2           DType = 26
	Float6E2M3     DType = 27
	Float6E3M2     DType = 28
	numDTypes      DType = 29
)

type class uint8

const (
	classNone class = iota
	classFloat
	classSigned
	classUnsigned
	classBool
	classString
	classComplex
)

var dtypes = [numDTypes]struct {
	name  string
	bits  int
	class class
}{
	Undefined:      {"undefined", 0, classNone},
	Float32:        {"float", 32, classFloat},
	Uint8:          {"uint8", 8, classUnsigned},
	Int8:           {"int8", 8, classSigned},
	Uint16:         {"uint16", 16, classUnsigned},
	Int16:          {"int16", 16, classSigned},
	Int32:          {"int32", 32, classSigned},
	Int64:          {"int64", 64, classSigned},
	String:         {"string", 0, classString},
	Bool:           {"bool", 8, classBool},
	Float16:        {"float16", 16, classFloat},
	Float64:        {"double", 64, classFloat},
	Uint32:         {"uint32", 32, classUnsigned},
	Uint64:         {"uint64", 64, classUnsigned},
	Complex64:      {"complex64", 64, classComplex},
	Complex128:     {"complex128", 128, classComplex},
	BFloat16:       {"bfloat16", 16, classFloat},
	Float8E4M3FN:   {"float8e4m3fn", 8, classFloat},
	Float8E4M3FNUZ: {"float8e4m3fnuz", 8, classFloat},
	Float8E5M2:     {"float8e5m2", 8, classFloat},
	Float8E5M2FNUZ: {"float8e5m2fnuz", 8, classFloat},
	Uint4:          {"uint4", 4, classUnsigned},
	Int4:           {"int4", 4, classSigned},
	Float4E2M1:     {"float4e2m1", 4, classFloat},
	Float8E8M0:     {"float8e8m0", 8, classFloat},
	Uint2:          {"uint2", 2, classUnsigned},
	Int2:           {"int2", 2, classSigned},
	Float6E2M3:     {"float6e2m3", 6, classFloat},
	Float6E3M2:     {"float6e3m2", 6, classFloat},
}

// Valid reports whether d is an element type of the standard.
func (d DType) Valid() bool { return d > Undefined && d < numDTypes }

// String is the name that ONNX schemas use inside tensor(...).
func (d DType) String() string {
	if d < numDTypes {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// ParseDType is the inverse of String.
func ParseDType(name string) (DType, bool) {
	for d := Float32; d < numDTypes; d++ {
		if dtypes[d].name == name {
			return d, true
		}
	}
	return Undefined, false
}

// Bits is the storage of one element in bits, 0 for strings.
func (d DType) Bits() int {
	if d < numDTypes {
		return dtypes[d].bits
	}
	return 0
}

func (d DType) class() class {
	if d < numDTypes {
		return dtypes[d].class
	}
	return classNone
}

// IsFloat reports a real floating-point type of any width.
func (d DType) IsFloat() bool { return d.class() == classFloat }

// IsInt reports a signed or unsigned integer type, not Bool.
func (d DType) IsInt() bool { c := d.class(); return c == classSigned || c == classUnsigned }

// IsSigned reports a signed integer type.
func (d DType) IsSigned() bool { return d.class() == classSigned }

// IsComplex reports Complex64 or Complex128.
func (d DType) IsComplex() bool { return d.class() == classComplex }

// IntRange is the smallest and largest value of an integer type; for Uint64
// the maximum is that of Int64.
func (d DType) IntRange() (lo, hi int64) {
	b := d.Bits()
	switch {
	case d.class() == classSigned:
		return -1 << (b - 1), 1<<(b-1) - 1
	case d == Uint64:
		return 0, 1<<63 - 1
	case d.class() == classUnsigned:
		return 0, 1<<b - 1
	case d == Bool:
		return 0, 1
	}
	return 0, 0
}

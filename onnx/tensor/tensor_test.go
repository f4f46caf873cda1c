package tensor

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
)

// TestNames pins names, numbers and widths to those of TensorProto.DataType.
func TestNames(t *testing.T) {
	names := []string{"undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
		"double", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
		"float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2", "float6e2m3", "float6e3m2"}
	if len(names) != int(numDTypes) {
		t.Fatalf("%d names for %d types", len(names), numDTypes)
	}
	for i, n := range names {
		d := DType(i)
		if d.String() != n {
			t.Errorf("%d: %v, want %s", i, d, n)
		}
		if got, ok := ParseDType(n); i > 0 && (got != d || !ok || !d.Valid()) {
			t.Errorf("%s: %v %v", n, got, ok)
		}
	}
	for _, d := range []DType{Undefined, numDTypes, 255} {
		if d.Valid() || d.Bits() != 0 || d.IsFloat() || d.IsInt() || d.IsComplex() {
			t.Errorf("%v counts as a type", d)
		}
	}
	if _, ok := ParseDType("undefined"); ok {
		t.Error("undefined parses")
	}
	if DType(200).String() != "dtype(200)" {
		t.Error(DType(200))
	}
}

func TestIntRange(t *testing.T) {
	for d, want := range map[DType][2]int64{
		Int8: {-128, 127}, Uint8: {0, 255}, Int4: {-8, 7}, Uint4: {0, 15}, Int2: {-2, 1}, Uint2: {0, 3},
		Int64: {math.MinInt64, math.MaxInt64}, Uint64: {0, math.MaxInt64}, Uint32: {0, math.MaxUint32}, Bool: {0, 1}, Float32: {0, 0},
	} {
		if lo, hi := d.IntRange(); lo != want[0] || hi != want[1] {
			t.Errorf("%v: %d to %d", d, lo, hi)
		}
	}
}

// TestIntRoundTrip takes every integer type through its limits; values beyond
// wrap.
func TestIntRoundTrip(t *testing.T) {
	for d := Float32; d < numDTypes; d++ {
		if !d.IsInt() {
			continue
		}
		lo, hi := d.IntRange()
		for n := range 9 { // all tails of packed types
			v := make([]int64, n)
			for i := range v {
				v[i] = []int64{lo, hi, 0, 1, lo + 1, hi - 1, 1, lo, hi}[i]
			}
			x := FromInts(d, []int{n}, v)
			if got := x.Ints(); !slices.Equal(got, v) {
				t.Errorf("%v: %v, want %v", d, got, v)
			}
			size, err := ByteSize(d, []int{n})
			if err != nil || size != len(x.Bytes()) || size != (n*d.Bits()+7)/8 {
				t.Errorf("%v[%d]: %d bytes, %d: %v", d, n, len(x.Bytes()), size, err)
			}
		}
		if d.Bits() < 64 {
			if got := FromInts(d, nil, []int64{hi + 1}).Ints()[0]; got != lo {
				t.Errorf("%v: %d wraps to %d", d, hi+1, got)
			}
			if got := FromFloats(d, nil, []float64{float64(hi) + 1}).Ints()[0]; got != lo {
				t.Errorf("%v: %d. wraps to %d", d, hi+1, got)
			}
		}
		if got := FromFloats(d, []int{3}, []float64{1.9, 0.5, 1}).Ints(); !slices.Equal(got, []int64{1, 0, 1}) {
			t.Errorf("%v truncates to %v", d, got)
		}
	}
	if got := FromFloats(Uint64, nil, []float64{0x1p63}).Floats()[0]; got != 0x1p63 {
		t.Errorf("uint64 2^63: %v", got)
	}
}

// TestFloatRoundTrip takes every value of every float type through float64.
func TestFloatRoundTrip(t *testing.T) {
	for d := range minifloats {
		n := 1 << d.Bits()
		x := New(d, n)
		x.setCodes(n, func(i int) uint16 { return uint16(i) })
		v := x.Floats()
		y := EncodeFloats(d, []int{n}, v, false)
		back := y.Floats()
		i := 0
		x.eachCode(func(_ int, want uint16) {
			if !same(back[i], v[i]) {
				t.Fatalf("%v code %#x: %v becomes %v", d, want, v[i], back[i])
			}
			i++
		})
		i = 0
		y.eachCode(func(_ int, got uint16) {
			if v[i] == v[i] && got != uint16(i) {
				t.Fatalf("%v code %#x becomes %#x", d, i, got)
			}
			i++
		})
	}
	for _, d := range []DType{Float32, Float64} {
		v := []float64{0, math.Copysign(0, -1), 1, -2.5, math.Inf(1), math.Inf(-1), math.MaxFloat32, math.NaN()}
		for i, got := range FromFloats(d, []int{len(v)}, v).Floats() {
			if !same(got, v[i]) {
				t.Errorf("%v: %v, want %v", d, got, v[i])
			}
		}
	}
}

// TestPacking is the layout of TensorProto.raw_data below 8 bits.
func TestPacking(t *testing.T) {
	for _, c := range []struct {
		d    DType
		v    []int64
		want []byte
	}{
		{Int4, []int64{1, -2, 7, -8, -1}, []byte{0xe1, 0x87, 0x0f}},
		{Uint4, []int64{1, 14, 15}, []byte{0xe1, 0x0f}},
		{Int2, []int64{-2, 1, 0, -1, 1}, []byte{0xc6, 0x01}},
		{Uint2, []int64{0, 1, 2, 3, 3, 2}, []byte{0xe4, 0x0b}},
	} {
		if got := FromInts(c.d, []int{len(c.v)}, c.v).Bytes(); !bytes.Equal(got, c.want) {
			t.Errorf("%v of %v: % x, want % x", c.d, c.v, got, c.want)
		}
	}
	if got := FromFloats(Float4E2M1, []int{3}, []float64{0.5, -6, 2}).Bytes(); !bytes.Equal(got, []byte{0xf1, 0x04}) {
		t.Errorf("float4e2m1: % x", got)
	}
	// codes 01, 1f, 20, 2a, 15: bits 01|1f<<6|20<<12|2a<<18, then 15
	got := FromFloats(Float6E2M3, []int{5}, []float64{0.125, 7.5, math.Copysign(0, -1), -1.25, 2 + 5*0.25}).Bytes()
	if !bytes.Equal(got, []byte{0xc1, 0x07, 0xaa, 0x15}) {
		t.Errorf("float6e2m3: % x", got)
	}
}

func TestOtherTypes(t *testing.T) {
	b := FromBools([]int{3}, []bool{true, false, true})
	if fmt.Sprint(b.Bools(), b.Ints(), b.Floats()) != "[true false true] [1 0 1] [1 0 1]" {
		t.Error(b.Bools(), b.Ints(), b.Floats())
	}
	if got := FromFloats(Bool, []int{3}, []float64{0, 0.1, math.NaN()}).Bools(); fmt.Sprint(got) != "[false true true]" {
		t.Error(got)
	}
	for _, d := range []DType{Complex64, Complex128} {
		want := []complex128{1 + 2i, -0.5i}
		if got := FromComplexes(d, []int{2}, want).Complexes(); !slices.Equal(got, want) {
			t.Errorf("%v: %v", d, got)
		}
	}
	s, err := FromStrings([]int{2}, []string{"a", ""})
	if err != nil || !slices.Equal(s.Strings(), []string{"a", ""}) || s.Bytes() != nil {
		t.Error(s, err)
	}
	if _, err := FromStrings([]int{3}, []string{"a"}); err == nil {
		t.Error("1 string for [3]")
	}
	if c := s.Clone(); !c.Equal(s) {
		t.Error("clone of strings differs")
	}
	if got := Scalar(float32(2.5)); got.Rank() != 0 || got.Len() != 1 || got.Float32s()[0] != 2.5 {
		t.Error(got)
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		shape []int
		n     int
		ok    bool
	}{
		{nil, 1, true}, {[]int{0}, 0, true}, {[]int{2, 3}, 6, true}, {[]int{-1}, 0, false}, {[]int{0, -1}, 0, false},
		{[]int{math.MaxInt, 2}, 0, false}, {[]int{1 << 32, 1 << 32}, 0, false}, {[]int{math.MaxInt}, math.MaxInt, true},
	} {
		if n, err := Count(c.shape); n != c.n || (err == nil) != c.ok {
			t.Errorf("Count %v: %d %v", c.shape, n, err)
		}
	}
	for _, c := range []struct {
		d     DType
		shape []int
		n     int
		ok    bool
	}{
		{Float32, []int{math.MaxInt}, 0, false}, {Complex128, []int{math.MaxInt / 8}, 0, false}, {Uint8, []int{math.MaxInt}, math.MaxInt, true},
		{Int4, []int{math.MaxInt}, 1 << 62, true}, {Uint2, []int{math.MaxInt}, 1 << 61, true}, {Float6E2M3, []int{4}, 3, true},
		{Float6E2M3, []int{5}, 4, true}, {Int4, []int{3}, 2, true}, {String, []int{5}, 0, true}, {Undefined, []int{1}, 0, false}, {99, nil, 0, false},
	} {
		if n, err := ByteSize(c.d, c.shape); n != c.n || (err == nil) != c.ok {
			t.Errorf("ByteSize %v%v: %d %v", c.d, c.shape, n, err)
		}
	}
	for _, d := range []DType{Float32, String} {
		if _, err := Make(d, []int{1 << 40}, 1<<20); err == nil {
			t.Errorf("%v of 2^40 elements within 1 MiB", d)
		}
	}
	if _, err := FromBytes(Float32, []int{2}, make([]byte, 7)); err == nil {
		t.Error("7 bytes are float[2]")
	}
	if _, err := FromBytes(String, nil, nil); err == nil {
		t.Error("bytes are a string")
	}
}

// TestUnaligned views data at an odd address.
func TestUnaligned(t *testing.T) {
	b := append([]byte{0}, FromFloats(Float64, []int{3}, []float64{1, 2, 3}).Bytes()...)
	x, err := FromBytes(Float64, []int{3}, b[1:])
	if err != nil || !slices.Equal(x.Floats(), []float64{1, 2, 3}) {
		t.Error(x.Floats(), err)
	}
}

func TestReshapeAndEqual(t *testing.T) {
	x := FromInts(Int32, []int{2, 3}, []int64{1, 2, 3, 4, 5, 6})
	y := x.Reshaped(3, 2)
	if x.Equal(y) || !x.Equal(y.Reshaped(2, 3)) || x.Equal(x.As(Uint32)) {
		t.Error("Equal")
	}
	c := x.Clone()
	c.Bytes()[0] = 9
	if x.Ints()[0] != 1 {
		t.Error("Clone shares elements")
	}
	if x.String() != "int32[2 3]" || !slices.Equal(Strides([]int{2, 3, 4}), []int{12, 4, 1}) {
		t.Error(x, Strides([]int{2, 3, 4}))
	}
	panics := func(f func()) (p bool) {
		defer func() { p = recover() != nil }()
		f()
		return
	}
	if !panics(func() { x.Reshaped(4, 2) }) || !panics(func() { x.As(Float64) }) || !panics(func() { View[int64](x) }) {
		t.Error("a misuse does not panic")
	}
}

func TestBroadcast(t *testing.T) {
	for _, c := range []struct {
		in   [][]int
		want []int // nil: an error
	}{
		{[][]int{{2, 3}, {3}}, []int{2, 3}}, {[][]int{{2, 1}, {1, 3}}, []int{2, 3}}, {[][]int{{}, {4}}, []int{4}}, {[][]int{{}, {}}, []int{}},
		{[][]int{{0}, {1}}, []int{0}}, {[][]int{{1}, {0}}, []int{0}}, {[][]int{{0}, {2}}, nil}, {[][]int{{2}, {3}}, nil},
		{[][]int{{5, 1, 1}, {4, 1}, {3}}, []int{5, 4, 3}}, {[][]int{{2, 3}, {2}}, nil}, {nil, []int{}},
	} {
		got, err := Broadcast(c.in...)
		if (err != nil) != (c.want == nil) || err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%v: %v %v", c.in, got, err)
		}
	}
}

func TestSparse(t *testing.T) {
	vec := func(v ...int64) *Tensor { return Vector(v...) }
	coords := func(nnz, rank int, v ...int64) *Tensor { return Of([]int{nnz, rank}, v) }
	values := Vector[float32](5, 6)
	str, _ := FromStrings([]int{1}, []string{"x"})
	for _, c := range []struct {
		name string
		s    Sparse
		want string // "": an error
	}{
		{"linear", Sparse{[]int{2, 2}, values, vec(0, 3)}, "[5 0 0 6]"},
		{"coordinates", Sparse{[]int{2, 2}, values, coords(2, 2, 0, 1, 1, 0)}, "[0 5 6 0]"},
		{"empty", Sparse{[]int{2}, New(Float32, 0), vec()}, "[0 0]"},
		{"outside", Sparse{[]int{2, 2}, values, vec(0, 4)}, ""},
		{"negative", Sparse{[]int{2, 2}, values, vec(-1, 0)}, ""},
		{"coordinate outside", Sparse{[]int{2, 2}, values, coords(2, 2, 0, 2, 1, 0)}, ""},
		{"too few indices", Sparse{[]int{2, 2}, values, vec(0)}, ""},
		{"wrong rank", Sparse{[]int{2, 2}, values, coords(2, 3, 0, 0, 0, 0, 0, 0)}, ""},
		{"index type", Sparse{[]int{2, 2}, values, Vector[int32](0, 1)}, ""},
		{"values of rank 2", Sparse{[]int{2, 2}, values.Reshaped(1, 2), vec(0, 1)}, ""},
		{"huge", Sparse{[]int{1 << 40}, values, vec(0, 1)}, ""},
		{"empty with an index", Sparse{[]int{0}, values, vec(0, 0)}, ""},
	} {
		got, err := c.s.Dense(1 << 20)
		if (err != nil) != (c.want == "") || err == nil && fmt.Sprint(got.Floats()) != c.want {
			t.Errorf("%s: %v %v", c.name, got, err)
		}
	}
	s := Sparse{[]int{3}, str, vec(1)}
	if got, err := s.Dense(1 << 20); err != nil || !slices.Equal(got.Strings(), []string{"", "x", ""}) {
		t.Error(got, err)
	}
}

// TestGather copies elements of every type by index, packed ones included.
func TestGather(t *testing.T) {
	for d := Float32; d < numDTypes; d++ {
		var x *Tensor
		switch {
		case d == String:
			x, _ = FromStrings([]int{5}, []string{"0", "1", "2", "3", "4"})
		default:
			x = New(d, 5)
			for i := range x.Bytes() {
				x.Bytes()[i] = byte(37*i + 11)
			}
			if r := 5 * d.Bits() % 8; r != 0 { // bits past the end
				x.Bytes()[len(x.Bytes())-1] &= 1<<r - 1
			}
		}
		back, err := Gather(x, []int{5}, 1<<20, func(i int) int { return 4 - i })
		if err != nil {
			t.Fatal(err)
		}
		if d.Bits() > 8 && back.Equal(x) {
			t.Errorf("%v: not reversed", d)
		}
		if back, err = Gather(back, []int{5}, 1<<20, func(i int) int { return 4 - i }); err != nil || !back.Equal(x) {
			t.Errorf("%v: reversed twice % x, want % x: %v", d, back.Bytes(), x.Bytes(), err)
		}
	}
	if _, err := Gather(Vector[int8](1), []int{1 << 40}, 1<<20, func(int) int { return 0 }); err == nil {
		t.Error("2^40 elements within 1 MiB")
	}
}

// Conversions a part at a time equal those of all elements at once.
func TestConvertInParts(t *testing.T) {
	const n = 2*conversionPart + 5
	v := make([]float64, n)
	ints := make([]int64, n)
	for i := range v {
		v[i], ints[i] = float64(i%97)/7-5, int64(i%15)-7
	}
	for _, from := range []DType{Float32, Float16, Int8, Uint4, Float4E2M1} {
		x := FromFloats(from, []int{n}, v)
		for _, to := range []DType{Float16, BFloat16, Float64, Int4, Uint8, Uint2} {
			if !x.Convert(to, nil).Equal(FromFloats(to, []int{n}, x.Floats())) {
				t.Errorf("%v to %v", from, to)
			}
		}
	}
	double := FromFloats(Float32, []int{n}, v).Convert(Float32, func(v []float64) {
		for i := range v {
			v[i] *= 2
		}
	})
	if got := double.Floats()[n-1]; got != 2*float64(float32(v[n-1])) {
		t.Errorf("doubled to %v", got)
	}
	for _, to := range []DType{Int4, Int8, Uint2, Int64} {
		x := BuildInts(to, []int{n}, func(from int, part []int64) { copy(part, ints[from:]) })
		if !x.Equal(FromInts(to, []int{n}, ints)) {
			t.Errorf("integers as %v", to)
		}
	}
}

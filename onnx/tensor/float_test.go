package tensor

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// decodeTable is testdata/decode.txt: the values of every code of a type.
func decodeTable(t *testing.T) map[DType][]float64 {
	t.Helper()
	f, err := os.Open("testdata/decode.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[DType][]float64{}
	scan := bufio.NewScanner(f)
	for scan.Scan() {
		fields := strings.Fields(scan.Text())
		if fields[0] == "#" {
			continue
		}
		d, ok := ParseDType(fields[0])
		if !ok {
			t.Fatalf("no type %s", fields[0])
		}
		for _, s := range fields[1:] {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			out[d] = append(out[d], v)
		}
	}
	return out
}

// same is equality of bits but for the payload of NaN.
func same(a, b float64) bool {
	return a != a && b != b || math.Float64bits(a) == math.Float64bits(b)
}

// allCodes is a tensor of every code of a type of 8 or fewer bits.
func allCodes(d DType) *Tensor {
	n := 1 << d.Bits()
	t := New(d, n)
	t.setCodes(n, func(i int) uint16 { return uint16(i) })
	return t
}

func TestDecodeEveryCode(t *testing.T) {
	table := decodeTable(t)
	if len(table) != 8 {
		t.Fatalf("%d types in the table", len(table))
	}
	for d, want := range table {
		if len(want) != 1<<d.Bits() {
			t.Fatalf("%v: %d values", d, len(want))
		}
		for c, got := range allCodes(d).Floats() {
			if !same(got, want[c]) {
				t.Errorf("%v code %#02x: %v, want %v", d, c, got, want[c])
			}
		}
	}
}

// TestDecodeHalf checks all codes of binary16 and bfloat16 against other
// algorithms: binary16 by scaling the bits moved into a binary32, bfloat16 as
// the high half of a binary32.
func TestDecodeHalf(t *testing.T) {
	codes := make([]uint16, 1<<16)
	for i := range codes {
		codes[i] = uint16(i)
	}
	f16 := Of([]int{1 << 16}, codes).As(Float16).Floats()
	bf16 := Of([]int{1 << 16}, codes).As(BFloat16).Floats()
	for i, c := range codes {
		bits := uint32(c&0x8000)<<16 | uint32(c&0x7fff)<<13
		want := float64(math.Float32frombits(bits)) * math.Ldexp(1, 112)
		if c&0x7c00 == 0x7c00 {
			want = float64(math.Float32frombits(bits | 0x7f800000))
		}
		if !same(f16[i], want) {
			t.Fatalf("float16 %#04x: %v, want %v", c, f16[i], want)
		}
		if want := float64(math.Float32frombits(uint32(c) << 16)); !same(bf16[i], want) {
			t.Fatalf("bfloat16 %#04x: %v, want %v", c, bf16[i], want)
		}
	}
}

// TestSpecValues are values printed in the specifications named at minifloat.
func TestSpecValues(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		d    DType
		code uint16
		want float64
	}{
		{Float16, 0x3c00, 1}, {Float16, 0x7bff, 65504}, {Float16, 0x0001, 0x1p-24}, {Float16, 0x0400, 0x1p-14},
		{Float16, 0xfc00, -inf}, {Float16, 0x7c01, nan}, {Float16, 0x3555, 0.333251953125},
		{BFloat16, 0x3f80, 1}, {BFloat16, 0x7f7f, 0x1.fep127}, {BFloat16, 0x0001, 0x1p-133}, {BFloat16, 0x4049, 3.140625},
		{Float8E4M3FN, 0x7e, 448}, {Float8E4M3FN, 0x7f, nan}, {Float8E4M3FN, 0xff, nan}, {Float8E4M3FN, 0x01, 0x1p-9}, {Float8E4M3FN, 0x08, 0x1p-6},
		{Float8E4M3FNUZ, 0x7f, 240}, {Float8E4M3FNUZ, 0x80, nan}, {Float8E4M3FNUZ, 0x01, 0x1p-10},
		{Float8E5M2, 0x7b, 57344}, {Float8E5M2, 0x7c, inf}, {Float8E5M2, 0x7d, nan}, {Float8E5M2, 0x01, 0x1p-16},
		{Float8E5M2FNUZ, 0x7f, 57344}, {Float8E5M2FNUZ, 0x80, nan}, {Float8E5M2FNUZ, 0x01, 0x1p-17},
		{Float4E2M1, 0x7, 6}, {Float4E2M1, 0x1, 0.5}, {Float4E2M1, 0x9, -0.5},
		{Float6E2M3, 0x1f, 7.5}, {Float6E2M3, 0x01, 0.125}, {Float6E3M2, 0x1f, 28}, {Float6E3M2, 0x01, 0.0625},
		{Float8E8M0, 0x00, 0x1p-127}, {Float8E8M0, 0x7f, 1}, {Float8E8M0, 0xfe, 0x1p127}, {Float8E8M0, 0xff, nan},
	} {
		x := New(c.d, 1)
		x.setCodes(1, func(int) uint16 { return c.code })
		if got := x.Floats()[0]; !same(got, c.want) {
			t.Errorf("%v %#x: %v, want %v", c.d, c.code, got, c.want)
		}
	}
}

// positive is the finite magnitudes of a minifloat in order of their codes,
// and the one that would follow the largest if the format went on.
func positive(d DType) []float64 {
	m := minifloats[d]
	out := make([]float64, m.maxCode+1)
	for c := range out {
		out[c] = m.decode(uint16(c))
	}
	last := len(out) - 1
	return append(out, 2*out[last]-out[last-1])
}

// nearest is the slow obvious encoding of x >= 0: the closest value of the
// list, the even code of two.
func nearest(values []float64, x float64) int {
	i, found := slices.BinarySearch(values, x)
	switch {
	case found || i == 0:
		return i
	case i == len(values):
		return i - 1
	}
	below, above := x-values[i-1], values[i]-x
	if below < above || below == above && (i-1)%2 == 0 {
		return i - 1
	}
	return i
}

// probes are the values of the list, their midpoints, and both neighbours of
// each, exact in float64.
func probes(values []float64) []float64 {
	var out []float64
	add := func(x float64) {
		out = append(out, x, math.Nextafter(x, 0), math.Nextafter(x, math.Inf(1)))
	}
	for i, v := range values {
		add(v)
		if i > 0 {
			add((values[i-1] + v) / 2)
		}
	}
	return append(out, math.SmallestNonzeroFloat64, 0x1p-1000, 1e30, math.MaxFloat64)
}

func TestEncode(t *testing.T) {
	for d, m := range minifloats {
		values := positive(d)
		for _, x := range probes(values) {
			code := nearest(values, x)
			over := code > int(m.maxCode)
			for _, sign := range []float64{1, -1} {
				for _, saturate := range []bool{true, false} {
					want := values[min(code, int(m.maxCode))]
					if over && !saturate && !m.noNaN {
						want = math.NaN()
						if m.inf {
							want = math.Inf(1)
						}
					}
					want = sign * want
					if m.fnuz && want == 0 {
						want = 0 // no negative zero
					}
					if got := m.decode(m.encode(sign*x, saturate)); !same(got, want) {
						t.Fatalf("%v of %v, saturate %v: %v, want %v", d, sign*x, saturate, got, want)
					}
				}
			}
		}
	}
}

// TestMoveBits checks the codes that are made by moving bits against the slow
// way: every code, and every value at and between codes.
func TestMoveBits(t *testing.T) {
	for d, m := range minifloats {
		for c := range 1 << d.Bits() {
			if got, want := m.decode(uint16(c)), m.decodeAny(uint16(c)); !same(got, want) {
				t.Fatalf("%v code %#x: %v, want %v", d, c, got, want)
			}
		}
		for _, x := range append(probes(positive(d)), 0, math.Inf(1), math.NaN()) {
			for _, x := range []float64{x, math.Copysign(x, -1)} {
				for _, saturate := range []bool{true, false} {
					if got, want := m.encode(x, saturate), m.encodeAny(x, saturate); got != want {
						t.Fatalf("%v of %v, saturate %v: %#x, want %#x", d, x, saturate, got, want)
					}
				}
			}
		}
	}
}

// TestEncodeSpecials is the table of ONNX Cast for 8-bit floats: NaN, infinity
// and values out of range, with and without saturate.
func TestEncodeSpecials(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		d         DType
		x         float64
		saturated float64
		not       float64
	}{
		{Float8E4M3FN, inf, 448, nan}, {Float8E4M3FN, -inf, -448, nan}, {Float8E4M3FN, 1e4, 448, nan}, {Float8E4M3FN, nan, nan, nan},
		{Float8E4M3FNUZ, inf, 240, nan}, {Float8E4M3FNUZ, -inf, -240, nan}, {Float8E4M3FNUZ, -1e4, -240, nan}, {Float8E4M3FNUZ, nan, nan, nan},
		{Float8E5M2, inf, 57344, inf}, {Float8E5M2, -inf, -57344, -inf}, {Float8E5M2, 1e6, 57344, inf}, {Float8E5M2, nan, nan, nan},
		{Float8E5M2FNUZ, inf, 57344, nan}, {Float8E5M2FNUZ, -inf, -57344, nan}, {Float8E5M2FNUZ, 1e6, 57344, nan},
		{Float8E4M3FN, 464, 448, 448}, {Float8E4M3FN, 464.001, 448, nan}, {Float8E5M2, 61439, 57344, 57344}, {Float8E5M2, 61440, 57344, inf},
		{Float4E2M1, inf, 6, 6}, {Float4E2M1, -9, -6, -6}, {Float4E2M1, 0.25, 0, 0}, {Float4E2M1, 0.75, 1, 1}, {Float4E2M1, 5, 4, 4},
		{Float16, 1e6, inf, inf}, {Float16, 65519, 65504, 65504}, {Float16, 65520, inf, inf}, {Float16, -inf, -inf, -inf},
		{BFloat16, math.MaxFloat32, inf, inf}, {BFloat16, nan, nan, nan},
	} {
		for saturate, want := range map[bool]float64{true: c.saturated, false: c.not} {
			if got := EncodeFloats(c.d, nil, []float64{c.x}, saturate).Floats()[0]; !same(got, want) {
				t.Errorf("%v of %v, saturate %v: %v, want %v", c.d, c.x, saturate, got, want)
			}
		}
		if got := FromFloats(c.d, nil, []float64{c.x}).Floats()[0]; !same(got, c.saturated) {
			t.Errorf("%v of %v: %v, want %v", c.d, c.x, got, c.saturated)
		}
	}
}

func TestEncodeE8M0(t *testing.T) {
	for _, c := range []struct {
		x                 float64
		up, down, nearest uint16
	}{
		{1, 127, 127, 127}, {2, 128, 128, 128}, {0.5, 126, 126, 126}, {-2, 128, 128, 128},
		{1.25, 128, 127, 127}, {1.5, 128, 127, 128}, {3, 129, 128, 129}, {math.Nextafter(1.5, 0), 128, 127, 127},
		{math.Nextafter(1, 2), 128, 127, 127}, {0x1p-127, 0, 0, 0}, {0x1p127, 254, 254, 254},
		{0x1p200, 254, 254, 254}, {0x1p-200, 0, 0, 0}, {0, 0, 0, 0},
		{math.Inf(1), 254, 254, 254}, {math.NaN(), 255, 255, 255},
	} {
		for mode, want := range map[string]uint16{"up": c.up, "down": c.down, "nearest": c.nearest} {
			if got := EncodeE8M0(c.x, mode, true); got != want {
				t.Errorf("%v %s: %d, want %d", c.x, mode, got, want)
			}
		}
	}
	for _, x := range []float64{0x1p128, math.Inf(1), 0x1.8p127, math.NaN()} {
		if got := EncodeE8M0(x, "up", false); got != 0xff {
			t.Errorf("%v not saturated: %d", x, got)
		}
	}
	for c := range uint16(255) {
		for _, mode := range []string{"up", "down", "nearest"} {
			if got := EncodeE8M0(math.Ldexp(1, int(c)-127), mode, false); got != c {
				t.Errorf("2^%d %s: %d", int(c)-127, mode, got)
			}
		}
	}
}

func TestRoundFloats(t *testing.T) {
	for d := Float32; d < numDTypes; d++ {
		if !d.IsFloat() {
			continue
		}
		v := []float64{1, 0.3, -2.7, 1e-9, 5}
		if d == Float8E8M0 {
			v = []float64{1, 0.3, 2.7, 1e-9, 5}
		}
		want := FromFloats(d, []int{len(v)}, v).Floats()
		RoundFloats(d, v)
		if fmt.Sprint(v) != fmt.Sprint(want) {
			t.Errorf("%v: %v, want %v", d, v, want)
		}
		again := slices.Clone(v)
		RoundFloats(d, again)
		if !slices.Equal(again, v) {
			t.Errorf("%v: rounding twice gives %v", d, again)
		}
	}
}

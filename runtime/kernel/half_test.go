package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"onnxopt/onnx/tensor"
)

// TestHalf compares conversions on every instruction set with those of package
// tensor: all codes of float16, the points halfway between them and the numbers next
// to those, and random bits. NaN keep their bits alike.
func TestHalf(t *testing.T) {
	codes := tensor.New(tensor.Float16, 1<<16)
	for i := range tensor.View[uint16](codes) {
		tensor.View[uint16](codes)[i] = uint16(i)
	}
	exact := codes.Float32s()
	r := rand.New(rand.NewPCG(1, 2))
	x := slices.Clone(exact)
	for i := range 1 << 16 {
		half := (exact[i] + exact[(i+1)%(1<<16)]) / 2
		inf := float32(math.Inf(1))
		x = append(x, half, math.Nextafter32(half, inf), math.Nextafter32(half, -inf), math.Float32frombits(r.Uint32()))
	}
	x = append(x, 65519.996, 65520, -65520, 1e-45, -1e-45) // a tail, too
	want := tensor.New(tensor.Float32, len(x))
	copy(tensor.View[float32](want), x)
	rounded := tensor.View[uint16](want.Convert(tensor.Float16, func([]float64) {}))
	sameOnVariants(t, func() [][]uint32 {
		wide, narrow, back, both := make([]float32, 1<<16), make([]uint16, len(x)), make([]float32, len(x)), make([]float32, len(x))
		Widen(wide, tensor.View[uint16](codes))
		Narrow(narrow, x)
		Widen(back, narrow)
		Function{Kind: Half}.Apply(both, x)
		for i, v := range wide {
			if math.Float32bits(v) != math.Float32bits(exact[i]) && v == v {
				t.Fatalf("code %#x is %v, want %v", i, v, exact[i])
			}
		}
		bits := make([][]uint32, 3)
		for i, c := range narrow {
			if c != rounded[i] && x[i] == x[i] {
				t.Fatalf("%v is code %#x, want %#x", x[i], c, rounded[i])
			}
			bits[0] = append(bits[0], uint32(c))
			bits[1] = append(bits[1], math.Float32bits(back[i]))
			bits[2] = append(bits[2], math.Float32bits(both[i]))
		}
		return bits
	})
}

package kernel

import (
	"math"
	"math/big"
	"testing"
)

// FuzzFMA32 compares with exact arithmetic: sums of up to 600 binary digits, rounded once.
func FuzzFMA32(f *testing.F) {
	f.Add(math.Float32bits(1+0x1p-23), math.Float32bits(1+0x1p-23), math.Float32bits(-1))
	f.Add(math.Float32bits(1+0x1p-12), math.Float32bits(1+0x1p-12), math.Float32bits(0x1p-100)) // in the middle, and a little more
	f.Add(math.Float32bits(1+0x1p-12), math.Float32bits(1+0x1p-12), math.Float32bits(-0x1p-100))
	f.Add(math.Float32bits(0x1.8p-75), math.Float32bits(0x1p-75), math.Float32bits(0x1p-149)) // denormal
	f.Add(math.Float32bits(0x1p-100), math.Float32bits(0x1p-50), math.Float32bits(0x1p-149))
	f.Add(math.Float32bits(0x1p127), math.Float32bits(2), math.Float32bits(-math.MaxFloat32))
	f.Add(uint32(0x80000000), math.Float32bits(1), uint32(0))
	f.Fuzz(func(t *testing.T, a, b, c uint32) {
		x, y, z := math.Float32frombits(a), math.Float32frombits(b), math.Float32frombits(c)
		got := FMA32(x, y, z)
		p, v := float64(x)*float64(y), float64(z)
		want := float32(p + v)
		if s := p + v; s-s == 0 && s != 0 { // else infinite, no number or a zero, whose sign the sum knows
			sum := new(big.Float).SetPrec(1000).SetFloat64(p)
			want, _ = sum.Add(sum, big.NewFloat(v)).Float32()
		}
		if math.Float32bits(got) != math.Float32bits(want) && (got == got || want == want) {
			t.Fatalf("%g*%g + %g is %g, want %g", x, y, z, got, want)
		}
	})
}

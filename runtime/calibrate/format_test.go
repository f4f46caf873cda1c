package calibrate

import (
	"math"
	"testing"
)

func TestParams(t *testing.T) {
	reduced := Format{Bits: 8, Signed: true, Symmetric: true, ReduceRange: true}
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	tests := []struct {
		format    Format
		r         Range
		scale     float32
		zeroPoint int
	}{
		{uint8Asymmetric, Range{0, 255}, 1, 0},
		{uint8Asymmetric, Range{-1, 254}, 1, 1},
		{uint8Asymmetric, Range{-255, 0}, 1, 255},
		{uint8Asymmetric, Range{10, 255}, 1, 0},     // zero is included
		{uint8Asymmetric, Range{-255, -10}, 1, 255}, // and here
		{uint8Asymmetric, Range{-0.5, 254.5}, 1, 0}, // half to even
		{uint8Asymmetric, Range{-1.5, 253.5}, 1, 2},
		{Format{Bits: 8, Signed: true}, Range{0, 255}, 1, -128},
		{Format{Bits: 8, Signed: true}, Range{-128, 127}, 1, 0},
		{int8Symmetric, Range{-127, 3}, 1, 0},
		{int8Symmetric, Range{0, 254}, 2, 0},
		{Format{Bits: 8, Symmetric: true}, Range{-127, 127}, 1, 128},
		{reduced, Range{-63, 63}, 1, 0},
		{Format{Bits: 8, ReduceRange: true}, Range{0, 127}, 1, 0},
		{Format{Bits: 4}, Range{-7, 8}, 1, 7},
		{Format{Bits: 16, Signed: true, Symmetric: true}, Range{-32767, 0}, 1, 0},
		{Format{Bits: 2, Signed: true, Symmetric: true}, Range{-1, 1}, 1, 0},
		{uint8Asymmetric, Range{}, 1, 0},
		{int8Symmetric, Range{}, 1, 0},
		{Format{Bits: 8, Symmetric: true}, Range{}, 1, 128},
		{uint8Asymmetric, Range{0, 1e-40}, minNormal, 0},
		{int8Symmetric, Range{-minNormal, minNormal}, minNormal, 0},
		{uint8Asymmetric, Range{nan, nan}, 1, 0},
		{int8Symmetric, Range{-inf, inf}, 1, 0},
	}
	for _, test := range tests {
		scale, zeroPoint := test.format.Params(test.r)
		if scale != test.scale || zeroPoint != test.zeroPoint {
			t.Errorf("%+v for %v: scale %v, zero point %d; want %v, %d", test.format, test.r, scale, zeroPoint, test.scale, test.zeroPoint)
		}
	}
}

// Whatever the range, the scale is normal and finite, the zero point is of the
// type, zero is exact, and the range is covered to within half a step.
func TestParamsCoverRange(t *testing.T) {
	r := random(47)
	for range 20_000 {
		for name, f := range formats {
			bounds := Range{float32(wide(r)), float32(wide(r))}
			scale, zeroPoint := f.Params(bounds)
			qlo, qhi := f.Limits()
			if !(scale >= minNormal) || math.IsInf(float64(scale), 0) || zeroPoint < qlo || zeroPoint > qhi {
				t.Fatalf("%s for %v: scale %v, zero point %d", name, bounds, scale, zeroPoint)
			}
			if bounds.Min-bounds.Min != 0 || bounds.Max-bounds.Max != 0 {
				continue
			}
			lo, hi := f.Covers(scale, zeroPoint)
			slack := float64(scale) * 0.5001
			if f.Bits == 16 {
				slack = float64(scale) * 0.51 // the rounding of scale, 2^16 times
			}
			if min(float64(bounds.Min), 0) < lo-slack || max(float64(bounds.Max), 0) > hi+slack {
				t.Fatalf("%s for %v: scale %v, zero point %d cover %v to %v", name, bounds, scale, zeroPoint, lo, hi)
			}
		}
	}
}

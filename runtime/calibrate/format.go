package calibrate

import (
	"fmt"
	"math"
)

// A Range is the interval of real values that a quantized type is to cover.
type Range struct{ Min, Max float32 }

// A Format says how the integers of a quantized tensor are laid over a range.
type Format struct {
	Bits   int  // width of the integer type, 2 to 16
	Signed bool // int8 rather than uint8

	// Symmetric puts the zero point at 0, or at the middle of an unsigned
	// type, and covers [-a, a].
	Symmetric bool

	// ReduceRange leaves one bit unused, so that a product of pairs cannot
	// saturate on CPUs that add them in 16 bits.
	ReduceRange bool
}

// Check returns an error for a width that no quantized type has.
func (f Format) Check() error {
	if f.Bits < 2 || f.Bits > 16 || f.ReduceRange && f.Bits < 3 {
		return fmt.Errorf("quantization format: %d bits (reduced: %v) is not within 2 to 16", f.Bits, f.ReduceRange)
	}
	return nil
}

// Limits returns the least and greatest integer of the type, where
// QuantizeLinear saturates.
func (f Format) Limits() (lo, hi int) {
	return limits(f.Bits, f.Signed)
}

func limits(bits int, signed bool) (lo, hi int) {
	if signed {
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, 1<<bits - 1
}

// used returns the integers that a range is laid over: one bit fewer with
// ReduceRange, and without the least one where symmetry leaves it over.
func (f Format) used() (lo, hi int) {
	bits := f.Bits
	if f.ReduceRange {
		bits--
	}
	lo, hi = limits(bits, f.Signed)
	if f.Symmetric {
		lo++
	}
	return lo, hi
}

// Params returns the scale and zero point of ONNX QuantizeLinear,
// q = saturate(round(x/scale) + zeroPoint), for a range. The range is widened
// to contain zero, which is then represented exactly. The scale is a normal
// number whatever the range is: 1 if the range is [0, 0] or not finite. f must
// pass Check.
func (f Format) Params(r Range) (scale float32, zeroPoint int) {
	qlo, qhi := f.used()
	lo, hi := min(float64(r.Min), 0), max(float64(r.Max), 0)
	if f.Symmetric {
		hi = max(-lo, hi)
		lo = -hi
	}
	zeroPoint = (qlo + qhi + 1) / 2
	exact := (hi - lo) / float64(qhi-qlo)
	switch {
	case !(exact > 0) || math.IsInf(exact, 0):
		if !f.Symmetric && !f.Signed {
			zeroPoint = 0
		}
		return 1, zeroPoint
	case exact < minNormal: // would be flushed to zero by some processors
		scale = minNormal
	default:
		scale = float32(min(exact, math.MaxFloat32))
	}
	if !f.Symmetric {
		z := math.RoundToEven(float64(qlo) - lo/float64(scale))
		zeroPoint = int(min(max(z, float64(qlo)), float64(qhi)))
	}
	return scale, zeroPoint
}

// Covers returns the real values of the least and greatest integer of the type
// under a scale and zero point: what QuantizeLinear does not clip.
func (f Format) Covers(scale float32, zeroPoint int) (lo, hi float64) {
	qlo, qhi := f.Limits()
	return float64(qlo-zeroPoint) * float64(scale), float64(qhi-zeroPoint) * float64(scale)
}

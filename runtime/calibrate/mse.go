package calibrate

import "math"

// QuantError is what quantizing and dequantizing does to a tensor's finite
// values, as its sketch predicts it.
type QuantError struct {
	MSE     float64 // mean of (x - dequantize(quantize(x)))^2
	Signal  float64 // mean of x^2
	Clipped float64 // share of the values beyond what the integers cover
}

// SQNR returns the signal to quantization noise ratio in dB, +Inf if there is
// no noise.
func (e QuantError) SQNR() float64 {
	if e.MSE == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(e.Signal/e.MSE)
}

// QuantError returns the error to expect of QuantizeLinear and
// DequantizeLinear with a format, scale and zero point. Values are taken as
// spread evenly within a bin, so that the error of a tensor with few distinct
// values, all of them representable, is overestimated: as scale^2/12.
func (s *Sketch) QuantError(f Format, scale float32, zeroPoint int) QuantError {
	d := s.distribution(math.Inf(1))
	return d.quantError(f, scale, zeroPoint)
}

func (d *distribution) quantError(f Format, scale float32, zeroPoint int) QuantError {
	var e QuantError
	if d.n == 0 {
		return e
	}
	lo, hi := f.Covers(scale, zeroPoint)
	step := float64(scale)
	for _, b := range d.bins {
		share := b.n / d.n
		e.Signal += share * (b.lo*b.lo + b.lo*b.hi + b.hi*b.hi) / 3
		e.MSE += share * b.meanError(step, lo, hi)
		e.Clipped += share * b.beyond(lo-step/2, hi+step/2)
	}
	return e
}

// meanError returns the mean squared error over a bin of rounding to multiples
// of step within [lo, hi], both of which are multiples.
func (b bin) meanError(step, lo, hi float64) float64 {
	width := b.hi - b.lo
	if width <= 1e-9*max(math.Abs(b.lo), math.Abs(b.hi)) {
		x := b.lo
		q := min(max(math.RoundToEven(x/step)*step, lo), hi)
		return (x - q) * (x - q)
	}
	var integral float64
	if b.lo < lo {
		integral += cubes(b.lo-lo, min(b.hi, lo)-lo)
	}
	if b.hi > hi {
		integral += cubes(max(b.lo, hi)-hi, b.hi-hi)
	}
	if from, to := max(b.lo, lo), min(b.hi, hi); from < to {
		integral += roundingIntegral(to, step) - roundingIntegral(from, step)
	}
	return max(integral, 0) / width
}

// cubes returns the integral of x^2 from a to b.
func cubes(a, b float64) float64 { return (b - a) * (a*a + a*b + b*b) / 3 }

// roundingIntegral returns the integral from 0 to x of the squared distance to
// the nearest multiple of step: step^3/12 for each whole cell of width step
// around a multiple, and a cubic for the rest.
func roundingIntegral(x, step float64) float64 {
	k := math.Round(x / step)
	r := x - k*step
	return k*step*step*step/12 + r*r*r/3
}

// beyond returns the share of a bin outside [lo, hi].
func (b bin) beyond(lo, hi float64) float64 {
	if b.hi <= lo || b.lo >= hi {
		return 1
	}
	if b.hi == b.lo {
		return 0
	}
	return (max(lo-b.lo, 0) + max(b.hi-hi, 0)) / (b.hi - b.lo)
}

// leastError returns the interval whose scale and zero point give the least
// expected squared error. The error is nearly unimodal in each end: both ends
// are first scaled together over a factor of 2^10, then each is refined while
// the other stays.
func (d *distribution) leastError(f Format) (lo, hi float64) {
	lo, hi = min(d.min, 0), max(d.max, 0)
	at := func(lo, hi float64) float64 {
		scale, zeroPoint := f.Params(f.fit(lo, hi))
		return d.quantError(f, scale, zeroPoint).MSE
	}
	if f.Symmetric {
		hi = max(-lo, hi)
		t := hi * leastRatio(2, func(r float64) float64 { return at(-r*hi, r*hi) })
		return -t, t
	}
	r := leastRatio(2, func(r float64) float64 { return at(r*lo, r*hi) })
	lo, hi = r*lo, r*hi
	if lo == 0 || hi == 0 {
		return lo, hi
	}
	// An end may also move out again, as far as the values go.
	for range 2 {
		top := max(d.max, 0)
		hi = top * leastRatio(1, func(r float64) float64 { return at(lo, r*top) })
		bottom := min(d.min, 0)
		lo = bottom * leastRatio(1, func(r float64) float64 { return at(r*bottom, hi) })
	}
	return lo, hi
}

// leastRatio returns the ratio within [2^-10, 1] with the least f, the greatest
// among about equals: of quarters of each octave, refined around the best by
// factors of 4. The quarters end early where f is 16 times the least: most of
// that is clipping, which only grows as the range shrinks.
func leastRatio(refinements int, f func(float64) float64) float64 {
	best, least := 1.0, f(1)
	try := func(r float64) float64 {
		v := f(r)
		if less(v, least) {
			best, least = r, v
		}
		return v
	}
	for i := 1; i <= 40; i++ {
		octave, quarter := (i-1)/4, (i-1)%4
		if try(math.Ldexp(float64(7-quarter)/8, -octave)) > 16*least {
			break
		}
	}
	step := 1.0 / 4
	for range refinements + 1 {
		center := best
		step /= 4
		for i := -3; i <= 3; i++ {
			if r := center * (1 + float64(i)*step); i != 0 && r <= 1 {
				try(r)
			}
		}
	}
	return best
}

// less reports whether an error is less than another by more than rounding, in
// which CPUs may differ.
func less(a, b float64) bool { return a < b*(1-1e-9) || math.IsInf(b, 1) && a < b }

package calibrate

import (
	"fmt"
	"math"
	"strings"
)

// A Method chooses a range from a sketch.
type Method int

const (
	// MinMax is the exact least and greatest finite value.
	MinMax Method = iota

	// MovingAverage is the mean over observations of each one's least and
	// greatest value. All observations weigh the same, which makes it
	// independent of their order, unlike the exponential moving average of
	// Jacob et al., "Quantization and Training of Neural Networks for
	// Efficient Integer-Arithmetic-Only Inference" (2018), section 3.1, that
	// it stands for. It is cut to the values that Options.Limit leaves.
	MovingAverage

	// Percentile cuts off a share of the values: of the magnitudes for a
	// symmetric format, half of it at either end for an asymmetric one.
	// Wu et al., "Integer Quantization for Deep Learning Inference" (2020),
	// section 3.3.
	Percentile

	// Entropy minimizes the Kullback-Leibler divergence from the clipped and
	// quantized distribution to the observed one. Migacz, "8-bit Inference
	// with TensorRT" (GTC 2017).
	Entropy

	// MSE minimizes the expected squared quantization error. Nagel et al.,
	// "A White Paper on Neural Network Quantization" (2021), section 3.1.
	MSE

	// Auto is the method with the least expected squared error for this
	// tensor, the earliest listed one among equals.
	Auto
)

var methodNames = [...]string{"minmax", "moving-average", "percentile", "entropy", "mse", "auto"}

func (m Method) String() string {
	if m < 0 || int(m) >= len(methodNames) {
		return fmt.Sprintf("Method(%d)", int(m))
	}
	return methodNames[m]
}

// ParseMethod returns the method of a name that String gives.
func ParseMethod(name string) (Method, error) {
	for m, s := range methodNames {
		if s == name {
			return Method(m), nil
		}
	}
	return 0, fmt.Errorf("calibration method %q is none of %s", name, strings.Join(methodNames[:], ", "))
}

// Options say how a range is chosen. Format must be set.
type Options struct {
	Method Method
	Format Format

	// Percent is the share that Percentile keeps, in percent; 0 means 99.99.
	Percent float64

	// Limit excludes values of at least this magnitude, as if they were
	// infinite: attention masks are often finite stand-ins for infinity. 0
	// means DefaultLimit. Exclusion is by whole bins, 1/64 of a value wide.
	// QuantizeLinear clips excluded values to the end of the range: a mask
	// does not survive that, and its tensor is better left unquantized.
	Limit float64
}

// DefaultLimit and DefaultPercent are what zero Options mean.
const (
	DefaultLimit   = 1e30
	DefaultPercent = 99.99
)

// A Choice is a range and why it was chosen.
type Choice struct {
	Range      Range
	Method     Method // which Auto took; otherwise the one asked for
	Scale      float32
	ZeroPoint  int
	Error      QuantError
	Excluded   uint64 // finite values beyond Options.Limit
	Degenerate bool   // every value that counts is zero, or there is none
}

// Choose returns the range that a method picks, with its scale and zero point
// and the error to expect. For a symmetric format the range is [-a, a];
// otherwise it contains zero. NaN, infinities and values beyond o.Limit do not
// count; if nothing is left, the range is [0, 0].
func (s *Sketch) Choose(o Options) (Choice, error) {
	if err := o.Format.Check(); err != nil {
		return Choice{}, err
	}
	if o.Percent == 0 {
		o.Percent = DefaultPercent
	}
	if !(o.Percent > 0 && o.Percent <= 100) {
		return Choice{}, fmt.Errorf("percentile %v is not within 0 to 100", o.Percent)
	}
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if !(o.Limit > 0) {
		return Choice{}, fmt.Errorf("limit %v is not positive", o.Limit)
	}
	d := s.distribution(o.Limit)
	c := Choice{Method: o.Method, Excluded: d.excluded}
	c.Degenerate = d.min == 0 && d.max == 0
	switch {
	case c.Degenerate:
	case o.Method == Auto:
		c.Range, c.Method = s.auto(&d, o)
	default:
		r, err := s.choose(&d, o)
		if err != nil {
			return Choice{}, err
		}
		c.Range = r
	}
	c.Scale, c.ZeroPoint = o.Format.Params(c.Range)
	c.Error = d.quantError(o.Format, c.Scale, c.ZeroPoint)
	return c, nil
}

// Range is the range of Choose alone.
func (s *Sketch) Range(o Options) (Range, error) {
	c, err := s.Choose(o)
	return c.Range, err
}

// choose applies one method to a distribution that is not all zeros.
func (s *Sketch) choose(d *distribution, o Options) (Range, error) {
	lo, hi := d.min, d.max
	switch o.Method {
	case MinMax:
	case MovingAverage:
		n := float64(s.observed)
		lo = min(max(s.sumMin.float64()/n, lo), hi)
		hi = max(min(s.sumMax.float64()/n, hi), lo)
	case Percentile:
		lo, hi = d.percentile(o.Percent/100, o.Format.Symmetric)
	case Entropy:
		lo, hi = d.entropy(o.Format)
	case MSE:
		lo, hi = d.leastError(o.Format)
	default:
		return Range{}, fmt.Errorf("no calibration method %v", o.Method)
	}
	return o.Format.fit(lo, hi), nil
}

// auto returns the range of the method with the least expected error.
func (s *Sketch) auto(d *distribution, o Options) (Range, Method) {
	best, method, least := Range{}, MinMax, math.Inf(1)
	for m := MinMax; m < Auto; m++ {
		o.Method = m
		r, err := s.choose(d, o)
		if err != nil {
			continue
		}
		scale, zeroPoint := o.Format.Params(r)
		if e := d.quantError(o.Format, scale, zeroPoint).MSE; less(e, least) {
			best, method, least = r, m, e
		}
	}
	return best, method
}

// fit returns the range that covers [lo, hi] and that the format can have.
func (f Format) fit(lo, hi float64) Range {
	lo, hi = min(lo, 0), max(hi, 0)
	if f.Symmetric {
		hi = max(-lo, hi)
		lo = -hi
	}
	return Range{Min: float32(lo) + 0, Max: float32(hi) + 0}
}

// percentile returns the interval that holds the share keep of the values: of
// the magnitudes if symmetric, else with the same share cut off at both ends.
func (d *distribution) percentile(keep float64, symmetric bool) (lo, hi float64) {
	if symmetric {
		f := d.fold()
		t := f.quantile(keep)
		return -t, t
	}
	cut := (1 - keep) / 2
	return d.quantile(cut), d.quantile(1 - cut)
}

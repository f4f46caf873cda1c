package calibrate

import (
	"cmp"
	"math"
	"slices"
)

// A bin holds n values spread evenly over [lo, hi], or all equal to lo if
// lo == hi.
type bin struct{ lo, hi, n float64 }

// A distribution is what a sketch knows of the finite values, as bins in
// ascending order. Bins do not overlap, except in a folded distribution where
// the two signs have different tiny values or extremes.
type distribution struct {
	bins     []bin
	n        float64
	min, max float64
	excluded uint64 // values beyond the limit, in no bin
}

// edge returns the magnitude at which bin i of an octave begins.
func edge(octave, i int) float64 {
	return math.Ldexp(1+float64(i)/binsPerOctave, octave%signOctave-127)
}

// bins returns the non-empty bins of the finite values, ascending, as wide as
// they are counted, and empty ones for extremes that were not.
func (s *Sketch) bins() []bin {
	if s.observed == 0 {
		return nil
	}
	var bins []bin
	s.magnitudes(1, func(b bin) { bins = append(bins, bin{-b.hi, -b.lo, b.n}) })
	slices.Reverse(bins)
	if n := s.blocks[slotZero].total(); n > 0 {
		bins = append(bins, bin{0, 0, float64(n)})
	}
	s.magnitudes(0, func(b bin) { bins = append(bins, b) })
	lo, hi := float64(s.min), float64(s.max)
	if len(bins) == 0 || lo < bins[0].lo {
		bins = slices.Insert(bins, 0, bin{lo, lo, 0})
	}
	if hi > bins[len(bins)-1].hi {
		bins = append(bins, bin{hi, hi, 0})
	}
	return bins
}

// distribution returns the finite values of magnitude below limit. The
// outermost bins end at the exact extremes, unless the limit cut them.
func (s *Sketch) distribution(limit float64) distribution {
	var d distribution
	d.bins = slices.DeleteFunc(s.bins(), func(b bin) bool {
		beyond := b.lo >= limit || b.hi <= -limit
		if beyond {
			d.excluded += uint64(b.n)
		}
		return beyond
	})
	d.clip(float64(s.min), float64(s.max))
	return d
}

// magnitudes calls f with the non-empty bins of one sign, ascending in
// magnitude.
func (s *Sketch) magnitudes(sign uint32, f func(bin)) {
	least := int(s.leastKept(sign))
	if n := s.blocks[slotTiny+sign].total(); n > 0 {
		f(bin{0, edge(least, 0), float64(n)})
	}
	for octave := least; octave < int(sign+1)*signOctave; octave++ {
		k := s.slot[octave]
		if k < slotFirstKept {
			continue
		}
		for i, n := range s.blocks[k] {
			if n > 0 {
				f(bin{edge(octave, i), edge(octave, i+1), float64(n)})
			}
		}
	}
}

// clip moves bin ends into [lo, hi], without moving values, and sums up.
func (d *distribution) clip(lo, hi float64) {
	d.n, d.min, d.max = 0, math.Inf(1), math.Inf(-1)
	for i := range d.bins {
		b := &d.bins[i]
		b.lo = min(max(b.lo, lo), hi)
		b.hi = max(min(b.hi, hi), b.lo)
		d.n += b.n
		d.min, d.max = min(d.min, b.lo), max(d.max, b.hi)
	}
	if len(d.bins) == 0 {
		d.min, d.max = 0, 0
	}
}

// fold returns the distribution of the magnitudes.
func (d *distribution) fold() distribution {
	f := distribution{bins: make([]bin, 0, len(d.bins))}
	all := slices.Clone(d.bins)
	for i, b := range all {
		if b.hi <= 0 {
			all[i] = bin{-b.hi, -b.lo, b.n}
		}
	}
	slices.SortStableFunc(all, func(a, b bin) int {
		if a.lo != b.lo {
			return cmp.Compare(a.lo, b.lo)
		}
		return cmp.Compare(a.hi, b.hi)
	})
	for _, b := range all {
		if last := len(f.bins) - 1; last >= 0 && f.bins[last].lo == b.lo && f.bins[last].hi == b.hi {
			f.bins[last].n += b.n
		} else {
			f.bins = append(f.bins, b)
		}
	}
	f.clip(0, max(-d.min, d.max))
	return f
}

// quantile returns the value at rank q*(n-1) of n sorted values, 0 <= q <= 1,
// with the values of a bin spread evenly over it. Conversions keep products
// from being fused with sums, so that the result is the same on every CPU.
func (d *distribution) quantile(q float64) float64 {
	rank := float64(q * (d.n - 1))
	var before float64
	for _, b := range d.bins {
		if rank <= before+b.n-0.5 {
			at := min(max((rank-before+0.5)/b.n, 0), 1)
			return b.lo + float64(at*(b.hi-b.lo))
		}
		before += b.n
	}
	return d.max
}

// linear returns the counts in n bins of equal width between lo and hi. Values
// outside are not counted; hi itself is in the last bin.
func (d *distribution) linear(lo, hi float64, n int) []float64 {
	counts := make([]float64, n)
	width := (hi - lo) / float64(n)
	if !(width > 0) {
		return counts
	}
	at := func(x float64) float64 { return (x - lo) / width }
	for _, b := range d.bins {
		if b.hi < lo || b.lo > hi {
			continue
		}
		from, to := at(b.lo), at(b.hi)
		if to-from < 1e-9 {
			i := min(max(int(from), 0), n-1)
			counts[i] += b.n
			continue
		}
		perBin := b.n / (to - from)
		from, to = max(from, 0), min(to, float64(n))
		for i := int(from); i < n && float64(i) < to; i++ {
			counts[i] += perBin * (min(to, float64(i+1)) - max(from, float64(i)))
		}
	}
	return counts
}

// Histogram returns how many finite values fall into each of n bins of equal
// width between lo and hi, for plots: the counts are estimates where these
// bins cut those of the sketch. It returns zeros unless lo < hi.
func (s *Sketch) Histogram(lo, hi float64, n int) []float64 {
	d := s.distribution(math.Inf(1))
	return d.linear(lo, hi, n)
}

// Percentile returns the value below which p percent of the finite values lie,
// 0 <= p <= 100, to within one bin: 1/64 of the value. It is 0 for a sketch
// without finite values.
func (s *Sketch) Percentile(p float64) float64 {
	d := s.distribution(math.Inf(1))
	if d.n == 0 {
		return 0
	}
	return d.quantile(p / 100)
}

// Moments returns the mean and the standard deviation of the finite values as
// the bins give them: each value is displaced by less than 1/64 of itself, and
// displacements cancel where a bin's values are spread over it.
func (s *Sketch) Moments() (mean, deviation float64) {
	d := s.distribution(math.Inf(1))
	if d.n == 0 {
		return 0, 0
	}
	for _, b := range d.bins {
		mean += b.n / d.n * (b.lo + b.hi) / 2
	}
	for _, b := range d.bins {
		lo, hi := b.lo-mean, b.hi-mean
		deviation += b.n / d.n * (lo*lo + lo*hi + hi*hi) / 3
	}
	return mean, math.Sqrt(deviation)
}

// maskGap is how many empty octaves set a mask apart, and maskBulk the least
// share of the nonzero values below them that makes those the tensor's proper
// values, rather than stray small ones.
const (
	maskGap  = 7
	maskBulk = 0.01
)

// MaskLimit returns the magnitude of values that look like an attention mask: a
// finite stand-in for infinity, at least 2^7 times as large as any of the
// tensor's other values. It is 0 if there are none. As Options.Limit, it
// excludes them.
func (s *Sketch) MaskLimit() float64 {
	d := s.distribution(math.Inf(1))
	f := d.fold()
	var below, nonzero float64
	for _, b := range f.bins {
		if b.hi > 0 {
			nonzero += b.n
		}
	}
	end := 0.0
	for _, b := range f.bins {
		if below > maskBulk*nonzero && b.lo >= math.Ldexp(end, maskGap) {
			return b.lo
		}
		if b.hi > 0 {
			below += b.n
			end = b.hi
		}
	}
	return 0
}

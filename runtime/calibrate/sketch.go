// Package calibrate observes the values that tensors take on a user's samples
// and chooses quantization ranges from what it saw.
//
// A [Sketch] has a fixed size however many values it has seen, and it holds
// integer counts and exact extremes only. Merging the sketches of any
// partition of the observations, in any order, therefore gives the same bytes
// as one sketch that saw them all: calibration may be split over threads,
// processes and machines without changing a bit of the result.
//
// A [Set] is the sketches of a model's tensors, bound to the model and to the
// samples it covers. A [Method] turns a sketch into a [Range], and a [Format]
// turns a range into the scale and zero point of ONNX QuantizeLinear.
package calibrate

import (
	"math"
	"math/bits"

	"onnxopt/runtime/kernel"
)

// A float32 falls into bin bits>>mantissaShift of the octave bits>>23: an
// octave is one sign and exponent, cut into binsPerOctave bins of equal width,
// so a bin is at most 1/64 of the value wide.
const (
	mantissaBits  = 6
	mantissaShift = 23 - mantissaBits
	binsPerOctave = 1 << mantissaBits
	octaves       = 512 // 2 signs, 256 exponents
	signOctave    = 256 // first octave of the negative values
	maxOctaves    = 16  // kept for each sign
	minNormal     = 0x1p-126
)

// Slots of Sketch.slot: which block counts an octave.
const (
	slotUnseen    = iota // not seen yet, or not finite: Sketch.open decides
	slotDiscard          // counted elsewhere
	slotZero             // zeros and subnormals
	slotTiny             // positive values below the kept octaves
	slotTinyNeg          // negative values below the kept octaves
	slotFirstKept        // kept octaves, in the order in which they were seen
)

type block [binsPerOctave]uint64

// A Sketch summarizes the values of one tensor. The zero Sketch is empty and
// ready to use. It is not safe for concurrent use; give each goroutine its own
// and merge them.
//
// Kept are the count of every bin in the 16 largest octaves that occur of
// each sign, the count of smaller values of each sign, the counts of zeros,
// NaN and infinities, the exact least and greatest finite value, and the
// exact sums of each observation's least and greatest. Being among the 16
// largest is a property of the values seen, not of their order, and an octave
// that once left stays out, which is why merging is exact. The octaves need
// not be adjacent: a few huge values do not displace the rest.
//
// Subnormal values count as zeros: no normal scale tells them apart.
type Sketch struct {
	slot   *[octaves]uint8 // nil, as blocks are, before the first value
	kept   [2]int
	blocks []block

	nan, posInf, negInf uint64

	min, max       float32 // of finite values; 0 if there are none
	observed       uint64  // Add calls with at least one finite value
	sumMin, sumMax sum     // over those calls
}

func (s *Sketch) init() {
	s.slot = new([octaves]uint8)
	s.blocks = make([]block, slotFirstKept, slotFirstKept+4)
	s.slot[0], s.slot[signOctave] = slotZero, slotZero
}

// Add counts the values of one observation: all values that the tensor has
// for one sample. MovingAverage averages over observations; nothing else
// depends on how values are divided into calls.
func (s *Sketch) Add(values []float32) { s.AddSome(values, len(values)) }

// AddSome is Add, but of more than n values it counts only about n, spread
// evenly over them; the extremes remain those of all. It counts all if some are
// not finite or beyond DefaultLimit.
func (s *Sketch) AddSome(values []float32, n int) {
	if s.blocks == nil {
		s.init()
	}
	lo, hi, finite := kernel.Extremes(values)
	switch {
	case len(values) <= n || !finite || lo <= -DefaultLimit || hi >= DefaultLimit:
		s.count(values)
	default:
		s.countSome(values, max(n, 1))
	}
	if !finite {
		lo, hi = finiteExtremes(values)
	}
	if lo > hi {
		return
	}
	lo, hi = flush(lo), flush(hi)
	s.widen(lo, hi)
	s.observed++
	s.sumMin.add(lo)
	s.sumMax.add(hi)
}

func (s *Sketch) count(values []float32) {
	slot, blocks := s.slot, s.blocks
	for _, v := range values {
		b := math.Float32bits(v)
		k := slot[b>>23]
		if k == slotUnseen {
			k = s.open(b)
			blocks = s.blocks
		}
		blocks[k][b>>mantissaShift%binsPerOctave]++
	}
	clear(s.blocks[slotDiscard][:])
}

// countSome counts one value of each of n stretches: at a place in it that no
// stride of the tensor's own is in step with (multiples of the golden ratio).
// Zeros, of which a Relu leaves many, are told apart without a branch: adding to
// the same counter again and again is slow.
func (s *Sketch) countSome(values []float32, n int) {
	const golden = 0x9e3779b97f4a7c15
	step := uint64(len(values)) << 32 / uint64(n) // of stretches, in 2^-32
	var some [256]float32
	zeros := uint64(n)
	for i := uint64(0); i < uint64(n); {
		k := uint32(0)
		for ; k < uint32(len(some)) && i < uint64(n); i++ {
			from, to := i*step>>32, (i+1)*step>>32
			within, _ := bits.Mul64(i*golden, to-from)
			v := values[from+within]
			some[k] = v
			magnitude := math.Float32bits(v) << 1
			k += (magnitude | -magnitude) >> 31 // 1 if v is not 0
		}
		s.count(some[:k])
		zeros -= uint64(k)
	}
	s.blocks[slotZero][0] += zeros
}

// finiteExtremes returns the least and greatest finite value; lo > hi if there
// are none.
func finiteExtremes(values []float32) (lo, hi float32) {
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range values {
		if v-v == 0 {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return lo, hi
}

// flush returns +0 for zeros and subnormal values, and other values as they are.
func flush(v float32) float32 {
	if v > -minNormal && v < minNormal {
		return 0
	}
	return v
}

// widen includes [lo, hi] in the extremes. It is called before observed counts
// the observation that has them.
func (s *Sketch) widen(lo, hi float32) {
	if s.observed == 0 {
		s.min, s.max = lo, hi
		return
	}
	s.min, s.max = min(s.min, lo), max(s.max, hi)
}

// open returns the slot that counts the float32 with bits b, whose octave is
// unseen or not finite. It makes room for an octave by moving the smallest
// kept one of the same sign to the tiny values.
func (s *Sketch) open(b uint32) uint8 {
	octave, sign := b>>23, b>>31
	if octave%signOctave == 255 {
		switch {
		case b<<9 != 0:
			s.nan++
		case sign == 0:
			s.posInf++
		default:
			s.negInf++
		}
		return slotDiscard
	}
	if s.kept[sign] < maxOctaves {
		s.kept[sign]++
		s.blocks = append(s.blocks, block{})
		s.slot[octave] = uint8(len(s.blocks) - 1)
		return s.slot[octave]
	}
	tiny := slotTiny + uint8(sign)
	least := s.leastKept(sign)
	if octave < least {
		s.slot[octave] = tiny
		return tiny
	}
	k := s.slot[least]
	s.blocks[tiny][0] += s.blocks[k].total()
	s.blocks[k] = block{}
	s.slot[least], s.slot[octave] = tiny, k
	return k
}

// leastKept returns the smallest kept octave of a sign, or the first octave
// past that sign if none is kept.
func (s *Sketch) leastKept(sign uint32) uint32 {
	o := sign * signOctave
	for end := o + signOctave; o < end && s.slot[o] < slotFirstKept; {
		o++
	}
	return o
}

func (b *block) total() uint64 {
	var n uint64
	for _, c := range b {
		n += c
	}
	return n
}

// Merge adds what o has seen to s. The result is the same as if s had seen it
// all, in any order.
func (s *Sketch) Merge(o *Sketch) {
	s.nan += o.nan
	s.posInf += o.posInf
	s.negInf += o.negInf
	if o.observed == 0 {
		return
	}
	if s.blocks == nil {
		s.init()
	}
	for octave, k := range o.slot {
		if k < slotFirstKept {
			continue
		}
		into := s.slot[octave]
		if into == slotUnseen {
			into = s.open(uint32(octave) << 23)
		}
		for i, n := range o.blocks[k] {
			s.blocks[into][i] += n
		}
	}
	for k := slotZero; k < slotFirstKept; k++ {
		s.blocks[k][0] += o.blocks[k].total()
	}
	s.widen(o.min, o.max)
	s.observed += o.observed
	s.sumMin.merge(&o.sumMin)
	s.sumMax.merge(&o.sumMax)
}

// Counts says what kinds of values a sketch has seen.
type Counts struct {
	Finite  uint64 // all finite values, zeros among them
	Zero    uint64 // zeros and subnormals
	NaN     uint64
	PosInf  uint64
	NegInf  uint64
	Samples uint64 // observations with at least one finite value
}

// Counts returns the exact counts of the values seen.
func (s *Sketch) Counts() Counts {
	c := Counts{NaN: s.nan, PosInf: s.posInf, NegInf: s.negInf, Samples: s.observed}
	for k := range s.blocks {
		c.Finite += s.blocks[k].total()
	}
	if s.blocks != nil {
		c.Zero = s.blocks[slotZero].total()
	}
	return c
}

// MinMax returns the exact least and greatest finite value, subnormal ones as
// 0; ok is false if there was none.
func (s *Sketch) MinMax() (lo, hi float32, ok bool) {
	return s.min, s.max, s.observed > 0
}

// A sum is an exact sum of float32 values in two's complement, least
// significant word first, in units of 2^-149: 278 bits hold one value, 384
// bits more values than can ever be added.
type sum [6]uint64

// add adds a finite v.
func (a *sum) add(v float32) {
	b := math.Float32bits(v)
	mantissa, exponent := uint64(b&(1<<23-1)), int(b>>23&255)
	if exponent > 0 {
		mantissa |= 1 << 23
		exponent--
	}
	var t sum
	word, shift := exponent/64, exponent%64
	t[word] = mantissa << shift
	t[word+1] = mantissa >> (64 - shift)
	if b>>31 != 0 {
		t.negate()
	}
	a.merge(&t)
}

func (a *sum) merge(o *sum) {
	var carry uint64
	for i := range a {
		a[i], carry = bits.Add64(a[i], o[i], carry)
	}
}

func (a *sum) negate() {
	carry := uint64(1)
	for i := range a {
		a[i], carry = bits.Add64(^a[i], 0, carry)
	}
}

// float64 returns the sum rounded to about 53 bits.
func (a *sum) float64() float64 {
	t, sign := *a, 1.0
	if t[len(t)-1]>>63 != 0 {
		t.negate()
		sign = -1
	}
	var v float64
	for i := len(t) - 1; i >= 0; i-- {
		v += math.Ldexp(float64(t[i]), 64*i-149)
	}
	return sign * v
}

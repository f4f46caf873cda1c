package calibrate

import "math"

// entropyBinsPerLevel is the ratio of histogram bins to quantization levels in
// Migacz's calibration: 2048 bins for the 128 magnitudes of int8.
const entropyBinsPerLevel = 16

// maxEntropyBits is the widest format whose range the divergence can choose:
// beyond, the levels are finer than the sketch, and nothing is lost by the
// full range.
const maxEntropyBits = 8

// entropy returns the interval with the least Kullback-Leibler divergence
// between P, the values clipped to the interval, and Q, the values inside it
// quantized: each level's count spread evenly over the level's non-empty bins.
//
// A symmetric format has 2^(bits-1) levels over the magnitudes, and one
// threshold is searched; an asymmetric one has 2^bits levels over the interval,
// whose ends are searched in turn. Zeros are left out: they are represented
// exactly by every candidate, while spreading them over a level as Q does
// would count as a loss, and drive the range of a Relu's output down.
func (d *distribution) entropy(f Format) (lo, hi float64) {
	lo, hi = min(d.min, 0), max(d.max, 0)
	if f.Bits > maxEntropyBits {
		return lo, hi
	}
	bits := f.Bits
	if f.ReduceRange {
		bits--
	}
	if f.Symmetric {
		folded := d.fold()
		k := newDivergence(&folded, 0, folded.max, 1<<(bits-1))
		_, b := k.search()
		t := folded.max * float64(b) / float64(len(k.count)-1)
		return -t, t
	}
	k := newDivergence(d, lo, hi, 1<<bits)
	a, b := k.search()
	width := (hi - lo) / float64(len(k.count)-1)
	return lo + float64(float64(a)*width), lo + float64(float64(b)*width)
}

// A divergence holds running sums over a linear histogram: element i is the
// sum over bins before i.
type divergence struct {
	count, filled, entropy []float64 // of c, of [c > 0], of c*ln(c)
	levels, zero           int       // zero is the bin edge at or below 0
}

func newDivergence(d *distribution, lo, hi float64, levels int) *divergence {
	n := max(2048, entropyBinsPerLevel*levels)
	nonzero := distribution{bins: make([]bin, 0, len(d.bins))}
	for _, b := range d.bins {
		if b.lo != 0 || b.hi != 0 {
			nonzero.bins = append(nonzero.bins, b)
		}
	}
	k := &divergence{
		count: make([]float64, n+1), filled: make([]float64, n+1), entropy: make([]float64, n+1),
		levels: levels, zero: int(math.Round(-lo / (hi - lo) * float64(n))),
	}
	for i, c := range nonzero.linear(lo, hi, n) {
		k.count[i+1] = k.count[i] + c
		k.filled[i+1] = k.filled[i]
		k.entropy[i+1] = k.entropy[i] + xlogx(c)
		if c > 0 {
			k.filled[i+1]++
		}
	}
	return k
}

func xlogx(x float64) float64 {
	if x <= 0 {
		return 0
	}
	return x * math.Log(x)
}

// search returns the window [a, b) of bins with the least divergence, widest
// first among equals, that contains zero and is at least as many bins as there
// are levels. It moves one end at a time until neither moves, four times at most.
func (k *divergence) search() (a, b int) {
	n := len(k.count) - 1
	a, b = 0, n
	for range 4 {
		b = a + bestLength(max(k.zero-a, k.levels), n-a, func(length int, limit float64) float64 { return k.at(a, a+length, limit) })
		was := a
		a = b - bestLength(max(b-k.zero, k.levels), b, func(length int, limit float64) float64 { return k.at(b-length, b, limit) })
		if a == was {
			break
		}
	}
	return a, b
}

// bestLength returns the length within [from, to] with the least f, the
// greatest among those that agree to 9 decimals. It tries every length up to
// 512, longer ones in steps of 1/256, and then those between the best and its
// neighbours. Where f is beyond limit, any other value beyond it does.
func bestLength(from, to int, f func(length int, limit float64) float64) int {
	best, least := to, math.Inf(1)
	try := func(length int) {
		if v := math.Round(f(length, (least+1)/1e9) * 1e9); v < least || v == least && length > best {
			best, least = length, v
		}
	}
	step := func(length int) int { return max(length/256, 1) }
	for length := to; length >= from; length -= step(length) {
		try(length)
	}
	around := step(best)
	for length := max(best-around, from); length <= min(best+around, to); length++ {
		try(length)
	}
	return best
}

// at returns KL(P||Q) in nats for the window [a, b): with c the counts inside,
// n their sum, c' the same with the outliers added to the outermost bins, N
// their sum, C and C' the sums per level, and m a level's non-empty bins,
//
//	(sum c' ln c' - sum C' ln(C/m)) / N - ln N + ln n.
//
// It is infinite where an outermost bin that takes outliers is empty, and may be
// where the divergence is beyond limit: as each level adds at least 0 (the sum
// of c ln c over it is at least C ln(C/m)), some of them tell.
func (k *divergence) at(a, b int, limit float64) float64 {
	last := len(k.count) - 1
	below, above := k.count[a], k.count[last]-k.count[b]
	inside := k.count[b] - k.count[a]
	if inside <= 0 {
		return math.Inf(1)
	}
	kl := k.entropy[b] - k.entropy[a]
	for _, end := range [2]struct {
		bin      int
		outliers float64
	}{{a, below}, {b - 1, above}} {
		if end.outliers <= 0 {
			continue
		}
		if k.filled[end.bin+1] == k.filled[end.bin] {
			return math.Inf(1)
		}
		c := k.count[end.bin+1] - k.count[end.bin]
		kl += xlogx(c+end.outliers) - xlogx(c)
	}
	total := k.count[last]
	most := (limit-math.Log(inside/total))*total + k.entropy[b] // of kl and the sum of c ln c up to a level
	start := a + (k.levels-1)*(b-a)/k.levels
	if c := k.count[b] - k.count[start]; above > 0 && c > 0 {
		most += above * math.Log(c/(k.filled[b]-k.filled[start]))
	}
	from := a
	for level := 1; level <= k.levels; level++ {
		if level > 1 && kl+k.entropy[from] > most {
			return math.Inf(1)
		}
		to := a + level*(b-a)/k.levels
		c, m := k.count[to]-k.count[from], k.filled[to]-k.filled[from]
		clipped := c
		if level == 1 {
			clipped += below
		}
		if level == k.levels {
			clipped += above
		}
		if m > 0 && c > 0 {
			kl -= clipped * math.Log(c/m)
		}
		from = to
	}
	return kl/total - math.Log(total) + math.Log(inside)
}

package pack

import "math/bits"

// Probabilities are of a decision being 1. They are mixed in the logistic
// domain (Mahoney 2005, "Adaptive weighing of context models for lossless data
// compression"): p = squash(sum of weight * stretch(p_i)), with online gradient
// descent on the code length. All arithmetic is on integers, so that every
// machine decodes what another encoded.

const (
	stretchOne = 256               // fixed point of the logistic domain
	stretchMax = 12*stretchOne - 1 // |ln(p/(1-p))| is below 12
	weightOne  = 1 << 16
)

// tables are the fixed functions of the mixer.
var tables = makeTables()

type mixTables struct {
	squash  [2*stretchMax + 1]uint16
	stretch [1 << 16]int16
	cost    [1<<16 + 1]uint32 // -log2(p/2^16) in 1/2^16 bits
}

// makeTables uses only multiplications and divisions of float64 that no
// compiler may fuse, which are the same on every machine.
func makeTables() *mixTables {
	t := &mixTables{}
	const step = 0.99610136947011749 // exp(-1/256)
	e := 1.0
	for x := 0; x <= stretchMax; x++ { // e = exp(-x/256)
		p := float64(65536 / float64(1+e))
		up := min(int(p+0.5), 65535)
		t.squash[stretchMax+x] = uint16(up)
		t.squash[stretchMax-x] = uint16(65536 - up)
		e = float64(e * step)
	}
	x := -stretchMax
	for p := range t.stretch { // the x whose squash is nearest below
		for x < stretchMax && int(t.squash[x+1+stretchMax]) <= p {
			x++
		}
		t.stretch[p] = int16(x)
	}
	t.cost[0] = 17 << 16
	for p := 1; p <= 1<<16; p++ {
		t.cost[p] = uint32(16<<16) - log2(uint32(p))
	}
	return t
}

// log2 is the binary logarithm of v > 0 in 1/2^16, by repeated squaring.
func log2(v uint32) uint32 {
	n := bits.Len32(v) - 1
	m := uint64(v) << (31 - n) // in [2^31, 2^32)
	r := uint32(n)
	for range 16 {
		m = m * m >> 31
		r <<= 1
		if m >= 1<<32 {
			m >>= 1
			r |= 1
		}
	}
	return r
}

func squash(x int) int {
	return int(tables.squash[max(-stretchMax, min(stretchMax, x))+stretchMax])
}

// slot is an adaptive probability: 22 bits of probability and 10 of count. Its
// rate falls from 2/3 with every update, down to 1/limit.
type slot uint32

const freshSlot slot = 1 << 31

func (s slot) p() int { return int(s >> 16) }
func (s slot) n() int { return int(s & 1023) }

func (s *slot) update(b, limit int) {
	n := s.n()
	target := int64(0)
	if b == 1 {
		target = 1<<22 - 1
	}
	p := int64(*s >> 10)
	p += (target - p) * 2 / int64(2*n+3)
	if n < limit {
		n++
	}
	*s = slot(p)<<10 | slot(n)
}

// mixer mixes up to its size of inputs with one of several sets of weights.
type mixer struct {
	size    int
	in      []int32
	weights []int32
	uses    []uint16 // of each set: the learning rate falls with it
	rate    int
	fall    int // uses after which the rate is halved, then a third, ...
}

func newMixer(size, sets int, weight float64, rate, fall int) *mixer {
	m := &mixer{size: size, in: make([]int32, 0, size), weights: make([]int32, size*sets), uses: make([]uint16, sets), rate: rate, fall: fall}
	for i := range m.weights {
		m.weights[i] = int32(weight * weightOne)
	}
	return m
}

// start gives every set the same weights.
func (m *mixer) start(weights ...float64) {
	for i := range m.weights {
		m.weights[i] = int32(weights[i%m.size] * weightOne)
	}
}

// add appends the next input, a probability.
func (m *mixer) add(p int) {
	m.in = append(m.in, int32(tables.stretch[max(1, min(65535, p))]))
}

// addStretched appends an input of the logistic domain.
func (m *mixer) addStretched(x int32) { m.in = append(m.in, x) }

// dot is the mixed prediction in the logistic domain.
func (m *mixer) dot(set int) int {
	var sum int64
	w := m.weights[set*m.size:][:len(m.in)]
	for i, x := range m.in {
		sum += int64(x) * int64(w[i])
	}
	return int(max(-stretchMax, min(stretchMax, sum>>16)))
}

// learn moves the weights of a set by the error of its prediction.
func (m *mixer) learn(set, dot, b int) {
	err := int64(b<<16 - squash(dot))
	rate := int64(m.rate) + int64(m.rate)*4*int64(m.fall)/(int64(m.fall)+int64(m.uses[set]))
	if m.uses[set] < 65535 {
		m.uses[set]++
	}
	w := m.weights[set*m.size:][:len(m.in)]
	for i, x := range m.in {
		w[i] += int32((int64(x)*err*rate + 1<<17) >> 18)
	}
}

// code codes a decision with the inputs added since the last one, under the
// average of two sets of weights, and lets both learn.
func (m *mixer) code(c *coder, b, set1, set2 int) int {
	d1, d2 := m.dot(set1), m.dot(set2)
	p := max(1, min(65535, squash((d1+d2)>>1)))
	b = c.bit(b, p)
	m.learn(set1, d1, b)
	if set2 != set1 {
		m.learn(set2, d2, b)
	}
	m.in = m.in[:0]
	return b
}

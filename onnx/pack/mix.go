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
	share   [1 << 10]uint64   // 2^36/(2n+3), rounded up: the rate of a slot
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
	for n := range t.share {
		t.share[n] = (1<<36)/uint64(2*n+3) + 1
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

func (s *slot) update(b, limit int) {
	n := int(*s & 1023)
	goal := -uint64(b) & (1<<22 - 1)
	far := uint64(*s>>10) ^ goal           // the distance
	far -= 2 * far * tables.share[n] >> 36 // 2*far/(2n+3), exactly
	if n < limit {
		n++
	}
	*s = slot(far^goal)<<10 | slot(n)
}

// mixer mixes up to its size of inputs with one of several sets of weights.
type mixer struct {
	size    int
	in      [maxInputs]int32
	n       int // of in
	weights []int32
	uses    []uint16 // of each set, up to settled: the learning rate falls with it
	rate    int      // in the end
	fall    int      // uses after which what it is more in the beginning is halved
	settled int      // uses after which that is nothing
}

// maxInputs is at least the size of any mixer.
const maxInputs = 16

func newMixer(size, sets int, weight float64, rate, fall int) *mixer {
	m := &mixer{size: size, weights: make([]int32, size*sets), uses: make([]uint16, sets), rate: rate, fall: fall, settled: 4*rate*fall - fall + 1}
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
func (m *mixer) add(p int) { m.addStretched(stretch(p)) }

// stretch is a probability in the logistic domain.
func stretch(p int) int32 { return int32(tables.stretch[max(1, min(65535, p))]) }

// addStretched appends an input of the logistic domain.
func (m *mixer) addStretched(x int32) {
	m.in[m.n%maxInputs] = x
	m.n++
}

// set is the weights of a set for the inputs added.
func (m *mixer) set(set int) []int32 { return m.weights[set*m.size:][:m.n] }

// dot is the mixed prediction in the logistic domain.
func (m *mixer) dot(set int) int {
	var sum int64
	w := m.set(set)
	for i, x := range m.in[:len(w)] {
		sum += int64(x) * int64(w[i])
	}
	return int(max(-stretchMax, min(stretchMax, sum>>16)))
}

// step is the error of a set's prediction times its learning rate.
func (m *mixer) step(set, dot, b int) int64 {
	rate := m.rate
	if uses := int(m.uses[set]); uses < m.settled {
		rate += 4 * rate * m.fall / (m.fall + uses)
		m.uses[set]++
	}
	return int64((b<<16 - squash(dot)) * rate)
}

// learned is how a weight moves by a step, under its input.
func learned(x int32, step int64) int32 { return int32((int64(x)*step + 1<<17) >> 18) }

// learn moves the weights of a set by the error of its prediction.
func (m *mixer) learn(set, dot, b int) {
	step := m.step(set, dot, b)
	w := m.set(set)
	for i, x := range m.in[:len(w)] {
		w[i] += learned(x, step)
	}
}

// code codes a decision with the inputs added since the last one, under the
// average of two sets of weights, and lets both learn.
func (m *mixer) code(c *coder, b, set1, set2 int) int {
	d1 := m.dot(set1)
	d2 := d1
	if set2 != set1 {
		d2 = m.dot(set2)
	}
	b = c.bit(b, max(1, min(65535, squash((d1+d2)>>1))))
	m.learn(set1, d1, b)
	if set2 != set1 {
		m.learn(set2, d2, b)
	}
	m.n = 0
	return b
}

// code4 is code with the four inputs of a mixer of that size, under one set.
func (m *mixer) code4(c *coder, b int, x, y, z, u int32, set int) int {
	w := (*[4]int32)(m.weights[4*set:])
	sum := int64(x)*int64(w[0]) + int64(y)*int64(w[1]) + int64(z)*int64(w[2]) + int64(u)*int64(w[3])
	dot := int(max(-stretchMax, min(stretchMax, sum>>16)))
	b = c.bit(b, max(1, min(65535, squash(dot))))
	step := m.step(set, dot, b)
	w[0] += learned(x, step)
	w[1] += learned(y, step)
	w[2] += learned(z, step)
	w[3] += learned(u, step)
	return b
}

package pack

import "math/bits"

// symbols codes bytes by mixing what several contexts predict for each bit,
// and what experts guess for the whole byte.
type symbols struct {
	c     *coder
	mix   *mixer
	table []slot // hashed by context and the bits so far; collisions only cost
	shift uint
	sets1 int

	ctx     []uint32 // contexts of the next symbol
	experts [numExperts]expert
	trust   [numExperts][expertLevels]slot

	hist   []byte // everything coded
	recent []int32
	at     int // in hist, where the match goes on; 0 is none
	run    int // how long it is
}

// expert is a guess of the next symbol, and how far it may be trusted.
type expert struct {
	symbol int // -1 is none
	level  int // below expertLevels
}

const (
	numExperts   = 3 // the longest match and two of the caller
	expertLevels = 16
	maxContexts  = 12
	minMatch     = 4
	matchBits    = 16
	slotLimit    = 127
)

// newSymbols is a model with a table of 2^size slots and so many weight sets.
func newSymbols(c *coder, size uint, sets int) *symbols {
	s := &symbols{c: c, table: make([]slot, 1<<size), shift: 32 - size, sets1: sets, recent: make([]int32, 1<<min(size, matchBits)), hist: make([]byte, 1, 4096)}
	for i := range s.table {
		s.table[i] = freshSlot
	}
	for i := range s.trust {
		for j := range s.trust[i] {
			s.trust[i][j] = slot(uint32(65536-(1<<15)/(j+1))<<16 | 2)
		}
	}
	s.mix = newMixer(maxContexts+numExperts+1, sets+expertSets, 0.3, 6, 64)
	return s
}

const expertSets = 64

// context adds a context of the next symbol.
func (s *symbols) context(parts ...uint32) {
	h := uint32(len(s.ctx))*0x9e3779b1 + 0x7f4a7c15
	for _, p := range parts {
		h = (h ^ p) * 0x85ebca6b
		h ^= h >> 15
	}
	s.ctx = append(s.ctx, h)
}

// last is the n symbols before the next one, as a number.
func (s *symbols) last(n int) uint32 {
	h := uint32(0)
	for i := max(0, len(s.hist)-n); i < len(s.hist); i++ {
		h = h*0x2f0b4a27 + uint32(s.hist[i]) + 1
	}
	return h
}

// guess gives expert i, of the caller's two, for the next symbol.
func (s *symbols) guess(i, symbol, level int) {
	s.experts[i+1] = expert{symbol, min(level, expertLevels-1)}
}

// code codes a symbol of some bits with the contexts and guesses given since
// the last one, under a set of weights.
func (s *symbols) code(sym, width, set int) int {
	s.experts[0] = expert{symbol: -1}
	if s.at > 0 {
		s.experts[0] = expert{int(s.hist[s.at]), min(s.run, expertLevels-1)}
	}
	node := 1
	for i := width - 1; i >= 0; i-- {
		node = node<<1 | s.bit(sym>>i&1, node, i, set)
	}
	sym = node & (1<<width - 1)
	s.append(byte(sym))
	s.ctx = s.ctx[:0]
	s.experts[1], s.experts[2] = expert{symbol: -1}, expert{symbol: -1}
	return sym
}

func (s *symbols) bit(b, node, below, set int) int {
	var used [maxContexts]*slot
	for i, h := range s.ctx {
		x := (h + uint32(node)*0x9e3779b1) * 0xc2b2ae35
		t := &s.table[(x^x>>16)*0x27d4eb2f>>s.shift]
		used[i] = t
		s.mix.add(t.p())
	}
	for i := len(s.ctx); i < maxContexts; i++ {
		s.mix.addStretched(0)
	}
	var trusted [numExperts]*slot
	var says [numExperts]int
	state := 0
	for i, e := range s.experts {
		state *= 4
		if e.symbol < 0 || !agrees(e.symbol, node, below) {
			s.mix.addStretched(0)
			continue
		}
		says[i] = e.symbol >> below & 1
		t := &s.trust[i][e.level]
		trusted[i] = t
		x := int32(tables.stretch[t.p()])
		if says[i] == 0 {
			x = -x
		}
		s.mix.addStretched(x)
		state += 1 + min(e.level/4, 2)
	}
	s.mix.addStretched(stretchOne / 2)
	b = s.mix.code(s.c, b, set, s.sets1+state)
	for _, t := range used[:len(s.ctx)] {
		t.update(b, slotLimit)
	}
	for i, t := range trusted {
		if t != nil {
			right := 0
			if says[i] == b {
				right = 1
			}
			t.update(right, 255)
		}
	}
	return b
}

// agrees reports that a symbol starts with the bits coded so far, which node
// holds behind a leading 1.
func agrees(symbol, node, below int) bool {
	return symbol>>(below+1) == node-1<<(bits.Len(uint(node))-1)
}

// append puts a symbol into the history and follows or looks for a match.
func (s *symbols) append(b byte) {
	if s.at > 0 && s.hist[s.at] == b {
		s.at++
		s.run++
	} else {
		s.at, s.run = 0, 0
	}
	s.hist = append(s.hist, b)
	if len(s.hist) <= minMatch {
		return
	}
	h := s.last(minMatch) * 0x9e3779b1 >> (32 - log(len(s.recent)-1))
	if s.at == 0 {
		if at := int(s.recent[h]); at > 0 {
			n := 0
			for n < 32 && at-n > 0 && s.hist[at-1-n] == s.hist[len(s.hist)-1-n] {
				n++
			}
			if n >= minMatch {
				s.at, s.run = at, n
			}
		}
	}
	s.recent[h] = int32(len(s.hist))
}

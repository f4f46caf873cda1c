package pack

// shape is a tensor seen as a matrix: rows are the first dimension, columns
// all others. Columns that differ by period are neighbours too: pixels above
// each other in an image, or the same tap in the next channel.
type shape struct {
	rows, cols, period int
}

// positions codes which elements of a matrix are not zero. The density of rows,
// columns and surroundings so far are estimates that a mixer weighs.
type positions struct {
	c     *coder
	s     shape
	mix   *mixer
	set   []uint8 // the flags, row-major
	cols  []int32 // ones of each column so far
	now   int     // the element at hand
	prior []uint8 // class of each column from the tensor before; nil if none

	local, counts, density, above, unit []slot
}

const (
	positionInputs = 13
	positionSets   = 16 + 32
)

// codePositions codes the flags of a matrix, of which about a share is set (see
// octaves). prior classes its columns; nil is one class.
func codePositions(c *coder, s shape, flags []uint8, prior []uint8, share int) {
	p := &positions{c: c, s: s, set: flags, cols: make([]int32, s.cols), prior: prior}
	p.mix = newMixer(positionInputs, positionSets, 0.15, 3, 1000)
	p.mix.start(0, 0.2, 0.35, 0.12, 0.12, 0.25, 0.12, 0.03, 0.06, -0.02, 0.12, 0, 0.08)
	start := tables.squash[max(0, stretchMax-share*stretchOne/4)]
	fresh := func(n int) []slot { return freshSlots(n, start) }
	p.local, p.counts, p.density = fresh(1<<12), fresh(1<<10), fresh(1<<10)
	p.above, p.unit = fresh(1<<12), fresh(1<<10)
	total, seen := 0, 0
	for r := range s.rows {
		ones := 0
		for x := range s.cols {
			i := r*s.cols + x
			base := ratio(total, seen, int(start), 100)
			b := p.flag(r, x, i, ones, base, int(flags[i]))
			flags[i] = uint8(b)
			ones += b
			total += b
			seen++
			p.cols[x] += int32(b)
		}
	}
}

// freshSlots is slots that expect p and will soon know better.
func freshSlots(n int, p uint16) []slot {
	s := make([]slot, n)
	for i := range s {
		s[i] = slot(uint32(p)<<16 | 1)
	}
	return s
}

// maxOctaves is more than any share has.
const maxOctaves = stretchMax*4/stretchOne + 1

// octaves is a share of ones as the k of squash(-k/4).
func octaves(ones, n int) int {
	return max(0, -int(tables.stretch[max(1, min(1<<15, ones<<16/n))])*4/stretchOne)
}

// ratio is the share of ones, with a prior p that counts as much as a events.
func ratio(ones, n, p, a int) int { return (ones<<16 + p*a) / (n + a) }

// at is the flag of an element before the one at hand, 0 elsewhere.
func (p *positions) at(r, x int) int {
	i := r*p.s.cols + x
	if r < 0 || x < 0 || x >= p.s.cols || i >= p.now {
		return 0
	}
	return int(p.set[i])
}

// near is the ones of a column so far, 0 outside.
func (p *positions) near(x int) int {
	if x < 0 || x >= p.s.cols {
		return 0
	}
	return int(p.cols[x])
}

func (p *positions) flag(r, x, i, ones, base, b int) int {
	d := p.s.period
	p.now = i
	m := p.mix
	m.add(base)
	m.add(ratio(ones, x, base, 40))
	m.add(ratio(p.near(x), r, base, 6))
	side := p.near(x-1) + p.near(x+1)
	line := p.near(x-d) + p.near(x+d)
	m.add(ratio(2*p.near(x)+side+line, 6*r, base, 12))
	wide := side + line + p.near(x-d-1) + p.near(x-d+1) + p.near(x+d-1) + p.near(x+d+1) + p.near(x-2) + p.near(x+2) + p.near(x-2*d) + p.near(x+2*d)
	m.add(ratio(p.near(x)+wide, 13*r, base, 20))

	here := p.at(r, x-1) | p.at(r, x-2)<<1 | p.at(r, x-d)<<2 | p.at(r, x-d+1)<<3 | p.at(r, x-d-1)<<4 | p.at(r, x-2*d)<<5
	up := p.at(r-1, x) | p.at(r-2, x)<<1 | p.at(r-1, x+1)<<2 | p.at(r-1, x-1)<<3 | p.at(r-3, x)<<4
	rowClass, colClass := class(ones, x), class(p.near(x), r)
	wideClass := class(wide, 12*r)
	unit := 0
	if p.prior != nil {
		unit = int(p.prior[x])
	}
	used := [...]*slot{
		&p.local[here],
		&p.local[1<<6+(here&7)<<5|up],
		&p.counts[rowClass<<5|colClass],
		&p.density[wideClass<<5|colClass],
		&p.above[up<<5|colClass],
		&p.unit[unit<<5|rowClass],
		&p.unit[512+(unit<<5|colClass)&511],
	}
	for _, t := range used {
		m.add(t.p())
	}
	m.addStretched(stretchOne)
	b = m.code(p.c, b, min(log(r), 15), 16+colClass)
	for _, t := range used {
		t.update(b, 400)
	}
	return b
}

// class is a density in about half octaves, below 32, 0 for nothing seen.
func class(ones, n int) int {
	if n <= 0 {
		return 0
	}
	if ones == 0 {
		return 1 + min(log(n), 6)
	}
	return min(31, 8+int(log2(uint32((ones<<16)/n|1))>>15)*2/3)
}

// log is the bits of n.
func log(n int) int {
	k := 0
	for ; n > 0; n >>= 1 {
		k++
	}
	return k
}

package pack

// values codes the elements of a matrix that are not zero, given which they
// are: a sign, and a rank by magnitude below 1<<width. Neighbouring weights
// tend to have the same sign, and a row or column a scale of its own.
type values struct {
	c     *coder
	s     shape
	width int
	mix   *mixer
	slots []slot
}

const (
	valueContexts = 10
	valueSets     = 64
)

// signed is a coded value: 0 is none, else 1+rank with the sign.
type signed = int32

func codeValues(c *coder, s shape, width int, v []signed, unsigned bool) {
	m := &values{c: c, s: s, width: width, mix: newMixer(valueContexts+1, 2*valueSets, 0.2, 4, 200)}
	m.mix.start(0.5, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12, 0)
	size := uint(12)
	if len(v) > 1<<16 {
		size = 16
	}
	m.slots = make([]slot, valueContexts<<size)
	for i := range m.slots {
		m.slots[i] = freshSlot
	}
	colLast := make([]signed, s.cols)
	colSum := make([]int32, s.cols)
	for r := range s.rows {
		var rowLast, rowBefore signed
		rowSum := 0
		for x := range s.cols {
			i := r*s.cols + x
			if v[i] == 0 {
				continue
			}
			at := func(dr, dx int) signed {
				y := x + dx
				if r+dr < 0 || y < 0 || y >= s.cols {
					return 0
				}
				if dr == 0 && dx >= 0 {
					return 0
				}
				return v[(r+dr)*s.cols+y]
			}
			left, above := at(0, -1), at(0, -s.period)
			around := 2*(sign(left)+sign(above)) + sign(at(0, -2)) + sign(at(0, -2*s.period))
			if s.period > 2 {
				around += sign(at(0, -s.period-1)) + sign(at(0, 1-s.period))
			}
			ctx := [valueContexts]uint32{
				0,
				uint32(rowLast) + 1000,
				uint32(colLast[x]) + 1000,
				uint32(sign(left)+1)*3 + uint32(sign(above)+1),
				uint32(clamp(int(colSum[x]), 3)+3)*8 + uint32(clamp(rowSum, 3)+3),
				uint32(left)*8191 + uint32(above),
				uint32(around+9)*8 + uint32(clamp(int(colSum[x]), 3)+3),
				uint32(magnitude(rowLast))*64 + uint32(magnitude(rowBefore)),
				uint32(above)*64 + uint32(colLast[x]),
				uint32(sign(at(-1, 0))+1)*3 + uint32(sign(colLast[x])+1),
			}
			v[i] = m.value(v[i], &ctx, size, unsigned)
			rowBefore, rowLast = rowLast, v[i]
			colLast[x] = v[i]
			rowSum += sign(v[i])
			colSum[x] += int32(sign(v[i]))
		}
	}
}

// value codes one value under its contexts.
func (m *values) value(v signed, ctx *[valueContexts]uint32, size uint, unsigned bool) signed {
	neg := 0
	if v < 0 {
		neg = 1
	}
	if !unsigned {
		neg = m.bit(neg, 1, ctx, size, 0)
	}
	rank := magnitude(v) - 1
	node := 1
	for i := m.width - 1; i >= 0; i-- {
		node = node<<1 | m.bit(rank>>i&1, 2+neg+2*node, ctx, size, min(m.width-i, 31)*2+neg)
	}
	rank = node - 1<<m.width
	if neg == 1 {
		return -signed(rank + 1)
	}
	return signed(rank + 1)
}

func (m *values) bit(b, node int, ctx *[valueContexts]uint32, size uint, set int) int {
	var used [valueContexts]*slot
	for k, h := range ctx {
		x := (h*0x9e3779b1 ^ uint32(node)) * 0x85ebca6b
		x = (x ^ x>>15) * 0xc2b2ae35
		used[k] = &m.slots[k<<size+int(x>>(32-size))]
	}
	for _, t := range used {
		m.mix.add(t.p())
	}
	m.mix.addStretched(stretchOne / 4)
	b = m.mix.code(m.c, b, set&63, set&63)
	for _, t := range used {
		t.update(b, 250)
	}
	return b
}

func sign(v signed) int {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

func magnitude(v signed) int {
	if v < 0 {
		return int(-v)
	}
	return int(v)
}

func clamp(v, most int) int { return max(-most, min(most, v)) }

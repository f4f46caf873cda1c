package pack

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

// tensors codes the blobs of a model in the order of the file.
type tensors struct {
	c     *coder
	small *symbols // numbers
	any   *symbols // the bytes of what has no model of its own
	rows  []int    // weights in each row of the last matrix
	stats *Tensor  // where a measurement of the tensor at hand goes, or nil
}

// Numbers of TensorProto.DataType that have models of their own.
const (
	float32Type = 1
	uint8Type   = 2
	int8Type    = 3
)

// method is how a blob is coded.
type method uint8

const (
	asBytes  method = iota
	asFloats        // sign and exponent, then the mantissa
	asBook          // few values: which elements are not zero, then which value
	asGrid          // multiples of a step
	asInt8
	asUint8
	numMethods
)

// trialLimit is the number of elements up to which methods are tried out.
const trialLimit = 1 << 21

func newTensors(c *coder) *tensors {
	return &tensors{c: c, small: newSymbols(c, 12, 8)}
}

// blob codes the bytes of x; a decoder emits them.
func (t *tensors) blob(x *item, emit func([]byte) error) error {
	s := x.tensor.matrix(x.num, x.size)
	best := asBytes
	if !t.c.decode {
		best = t.choose(x.b, s, x)
	}
	best = method(t.number(int(best), 1))
	if t.stats != nil {
		t.stats.Method = methodNames[best]
	}
	if best >= numMethods || best != asBytes && (s == nil || best.elements() != x.tensor.dtype) {
		return errDamaged
	}
	if best == asBytes {
		return t.bytes(x.b, x.size, x.tensor, emit)
	}
	b := x.b
	if t.c.decode {
		b = make([]byte, x.size)
	}
	t.code(best, b, s, x)
	switch {
	case !t.c.decode:
		return nil
	case t.c.over > overrun:
		return errTruncated
	}
	return emit(b)
}

// matrix is the shape of a tensor whose raw data fits it, nil for others.
func (l layout) matrix(num, size int) *shape {
	if num != tensorRaw && num != tensorFloats || size == 0 || l.rawSize() != size {
		return nil
	}
	s := &shape{rows: 1, cols: 1, period: 1}
	for i, d := range l.dims {
		if i == 0 {
			s.rows = d
		} else {
			s.cols *= d
		}
	}
	if len(l.dims) == 4 {
		s.period = l.dims[3]
		if s.period == 1 {
			s.period = l.dims[2]
		}
	}
	return s
}

// choose is the method with the shortest code.
func (t *tensors) choose(b []byte, s *shape, x *item) method {
	if s == nil {
		return asBytes
	}
	switch x.tensor.dtype {
	case float32Type:
	case int8Type:
		return asInt8
	case uint8Type:
		return asUint8
	default:
		return asBytes
	}
	n := len(b) / 4
	p, few := analyze(b, asBook)
	if values := len(p.neg) + len(p.pos); !few {
		return asFloats
	} else if n > trialLimit && values < n/64 {
		return asBook
	}
	methods := []method{asBook, asGrid, asFloats}
	lengths := make([]uint64, len(methods))
	var running sync.WaitGroup
	for i, m := range methods {
		running.Go(func() { lengths[i] = t.length(m, b, s, x) })
	}
	running.Wait()
	return methods[slices.Index(lengths, slices.Min(lengths))]
}

// length is the bits of a tensor under a method, the most there are if it does
// not suit.
func (t *tensors) length(m method, b []byte, s *shape, x *item) uint64 {
	if m == asGrid {
		if _, ok := analyze(b, m); !ok {
			return math.MaxUint64
		}
	}
	trial := newTensors(newMeter())
	trial.rows = t.rows
	trial.code(m, b, s, x)
	return trial.c.bits
}

// elements is the type of the elements that a method other than asBytes codes.
func (m method) elements() int {
	switch m {
	case asInt8:
		return int8Type
	case asUint8:
		return uint8Type
	}
	return float32Type
}

func (t *tensors) code(m method, b []byte, s *shape, x *item) {
	switch m {
	case asFloats:
		codeFloats(t, b, *s)
	case asBook, asGrid:
		t.few(m, b, *s, len(x.tensor.dims))
	case asInt8, asUint8:
		t.ints(m, b, *s, len(x.tensor.dims))
	}
}

// number codes an unsigned number with an adaptive model for each kind.
func (t *tensors) number(v int, kind uint32) int {
	out := 0
	for shift := 0; shift < 63; shift += 7 {
		b := v >> shift & 127
		if v>>shift > 127 {
			b |= 128
		}
		t.small.context(kind, uint32(shift))
		t.small.context(kind, uint32(shift), t.small.last(1))
		b = t.small.code(b, 8, int(kind)&7)
		out |= b & 127 << shift
		if b < 128 {
			break
		}
	}
	return out
}

// palette is the values of a tensor: those below zero and those above, each
// by rising magnitude.
type palette struct {
	neg, pos []uint32 // magnitudes, as the bits of floats
	step     uint32   // asGrid: the value of rank 0
	most     int      // asGrid: the largest multiple
}

// maxPalette is the number of values up to which they are listed, maxMultiple
// the largest multiple of a grid.
const (
	maxPalette  = 1 << 10
	maxMultiple = 1 << 12
)

// analyze is the values of a float32 tensor, false if the method does not
// suit it.
func analyze(b []byte, m method) (palette, bool) {
	seen := map[uint32]bool{}
	last := uint32(0)
	for i := 0; i < len(b); i += 4 {
		if u := binary.LittleEndian.Uint32(b[i:]); u != last && u != 0 {
			if last = u; !seen[u] {
				if seen[u] = true; len(seen) > maxPalette {
					return palette{}, false
				}
			}
		}
	}
	var p palette
	for u := range seen {
		if u>>31 == 1 {
			p.neg = append(p.neg, u&^(1<<31))
		} else {
			p.pos = append(p.pos, u)
		}
	}
	slices.Sort(p.neg)
	slices.Sort(p.pos)
	if m == asBook {
		return p, true
	}
	return p.grid()
}

// grid finds a step of which all values are multiples, after rounding to
// float32.
func (p palette) grid() (palette, bool) {
	all := append(slices.Clone(p.neg), p.pos...)
	if len(all) == 0 {
		return p, false
	}
	if u := slices.Max(all); u>>23 == 255 || slices.Min(all)>>23 == 0 {
		return p, false
	}
	low := math.Float32frombits(slices.Min(all))
	for _, step := range []float32{powerStep(all), low, low / 2, low / 3} {
		p.step, p.most = math.Float32bits(step), 0
		ok := step > 0
		for _, u := range all {
			v := math.Float32frombits(u)
			k := math.Round(float64(v) / float64(step))
			if !ok || k > maxMultiple || float32(k*float64(step)) != v {
				ok = false
				break
			}
			p.most = max(p.most, int(k))
		}
		if ok {
			return p, true
		}
	}
	return p, false
}

// powerStep is the largest power of two that divides all values, 0 if it is
// no normal float32.
func powerStep(all []uint32) float32 {
	least := 255
	for _, u := range all {
		m := u&(1<<23-1) | 1<<23
		e := int(u >> 23)
		for m&1 == 0 {
			m >>= 1
			e++
		}
		least = min(least, e-23)
	}
	if least <= 0 {
		return 0
	}
	return math.Float32frombits(uint32(least) << 23)
}

// few codes a tensor of few values.
func (t *tensors) few(m method, b []byte, s shape, rank int) {
	var p palette
	if !t.c.decode {
		p, _ = analyze(b, m)
	}
	p = t.palette(p, m)
	v := make([]signed, len(b)/4)
	if !t.c.decode {
		index := p.index(m)
		for i := range v {
			v[i] = index[binary.LittleEndian.Uint32(b[4*i:])]
		}
	}
	width := log(max(len(p.neg), len(p.pos)) - 1)
	if m == asGrid {
		width = log(p.most - 1)
	}
	if rising := s.cols == 1 && slices.IsSorted(v); t.flag(rising && !t.c.decode, 9) {
		t.rising(v)
	} else {
		t.matrix(v, s, rank, width, false)
	}
	if t.c.decode {
		for i, x := range v {
			binary.LittleEndian.PutUint32(b[4*i:], p.value(x, m))
		}
	}
}

// rising codes values in ascending order by their differences.
func (t *tensors) rising(v []signed) {
	low, most := 0, 0
	steps := make([]signed, len(v)-1)
	if !t.c.decode {
		low = int(v[0])
		for i := range steps {
			steps[i] = v[i+1] - v[i]
			most = max(most, int(steps[i]))
		}
	}
	low = t.number(low<<1^low>>63, 10)
	most = min(t.number(most, 2), 4*maxMultiple)
	at := signed(low>>1 ^ -(low & 1))
	t.matrix(steps, shape{len(steps), 1, 1}, 1, log(most-1), true)
	if !t.c.decode {
		return
	}
	for i := range v {
		if v[i] = at; i < len(steps) {
			at += steps[i]
		}
	}
}

// flag codes a decision as a number.
func (t *tensors) flag(b bool, kind uint32) bool {
	v := 0
	if b {
		v = 1
	}
	return t.number(v, kind) == 1
}

// index is the coded form of each value.
func (p palette) index(m method) map[uint32]signed {
	out := map[uint32]signed{}
	for s, list := range [][]uint32{p.pos, p.neg} {
		for i, u := range list {
			r := signed(i + 1)
			if m == asGrid {
				r = signed(math.Round(float64(math.Float32frombits(u)) / float64(math.Float32frombits(p.step))))
			}
			if s == 1 {
				r, u = -r, u|1<<31
			}
			out[u] = r
		}
	}
	return out
}

// value is the bits of a coded value.
func (p palette) value(x signed, m method) uint32 {
	k := magnitude(x)
	if k == 0 {
		return 0
	}
	u := uint32(0)
	list := p.pos
	if x < 0 {
		u, list = 1<<31, p.neg
	}
	if m == asGrid {
		return u | math.Float32bits(float32(float64(k)*float64(math.Float32frombits(p.step))))
	}
	if k > len(list) {
		return u
	}
	return u | list[k-1]
}

// palette codes the values themselves.
func (t *tensors) palette(p palette, m method) palette {
	if m == asGrid {
		p.most = min(t.number(p.most, 2), maxMultiple)
		p.step = t.float(p.step, 0, 0)
		return p
	}
	lists := [2][]uint32{p.neg, p.pos}
	trailing := 23
	for _, list := range lists {
		for _, u := range list {
			for trailing > 0 && u&(1<<trailing-1) != 0 {
				trailing--
			}
		}
	}
	trailing = min(t.number(trailing, 3), 23)
	for k := range lists {
		n := min(t.number(len(lists[k]), 4), maxPalette)
		before := uint32(0)
		for i := range n {
			u := uint32(0)
			if i < len(lists[k]) {
				u = lists[k][i]
			}
			before = t.float(u, trailing, before)
			if t.c.decode {
				lists[k] = append(lists[k], before)
			}
		}
	}
	return palette{neg: lists[0], pos: lists[1]}
}

// float codes a magnitude whose last bits are zero, near or above another.
func (t *tensors) float(u uint32, trailing int, before uint32) uint32 {
	t.small.context(5, before>>23)
	t.small.context(5)
	e := uint32(t.small.code(int(u>>23), 8, 5))
	return e<<23 | t.c.plain(u>>trailing, 23-trailing)<<trailing&(1<<23-1)
}

// ints codes a tensor of bytes.
func (t *tensors) ints(m method, b []byte, s shape, rank int) {
	v := make([]signed, len(b))
	for i, x := range b {
		v[i] = signed(x)
		if m == asInt8 {
			v[i] = signed(int8(x))
		}
	}
	t.matrix(v, s, rank, 8, m == asUint8)
	if t.c.decode {
		for i, x := range v {
			b[i] = byte(x)
		}
	}
}

// matrix codes which elements are not zero and their values.
func (t *tensors) matrix(v []signed, s shape, rank, width int, unsigned bool) {
	zeros := 0
	for _, x := range v {
		if x == 0 {
			zeros = 1
			break
		}
	}
	flags := make([]uint8, len(v))
	for i, x := range v {
		if x != 0 {
			flags[i] = 1
		}
	}
	if t.number(zeros, 6) == 1 {
		s.period = t.bestPeriod(flags, s, rank)
		s.period = max(1, min(t.number(s.period, 7), s.cols))
		from := t.c.bits
		share := 0
		for _, f := range flags {
			share += int(f)
		}
		share = min(t.number(octaves(share, len(flags)), 8), maxOctaves)
		codePositions(t.c, s, flags, t.prior(s), share)
		t.measurePositions(flags, from)
	} else {
		for i := range flags {
			flags[i] = 1
		}
	}
	for i := range v {
		if t.c.decode {
			v[i] = signed(flags[i])
		}
	}
	from := t.c.bits
	codeValues(t.c, s, width, v, unsigned)
	t.measureValues(v, from)
	if s.cols > 1 && s.rows > 1 {
		t.rows = make([]int, s.rows)
		for i, f := range flags {
			t.rows[i/s.cols] += int(f)
		}
	}
}

// prior classes columns by how many weights the units that they read have in
// the matrix before.
func (t *tensors) prior(s shape) []uint8 {
	if len(t.rows) == 0 || s.cols%len(t.rows) != 0 {
		return nil
	}
	out := make([]uint8, s.cols)
	each := s.cols / len(t.rows)
	for x := range out {
		out[x] = uint8(min(log(t.rows[x/each]), 15))
	}
	return out
}

// bestPeriod is the distance at which the densities of columns are most alike,
// as the rows of an image are.
func (t *tensors) bestPeriod(flags []uint8, s shape, rank int) int {
	if rank != 2 || t.c.decode || s.cols < 16 {
		return s.period
	}
	counts := make([]int, s.cols)
	for i, f := range flags {
		counts[i%s.cols] += int(f)
	}
	best, top := 1, math.Inf(-1)
	for d := 2; d <= min(s.cols/3, 512); d++ {
		sum := 0.0
		for x := d; x < s.cols; x++ {
			e := float64(counts[x] - counts[x-d])
			sum -= e * e
		}
		if sum /= float64(s.cols - d); sum > top {
			best, top = d, sum
		}
	}
	return best
}

package kernel

import (
	"math"
	"slices"
	"unsafe"
)

//go:generate sh -c "cd _asm && go run ./int8 -out ../int8_amd64.s -stubs ../int8_amd64.go -pkg kernel"

// Weights8 is a constant right-hand matrix of 8-bit products, packed in panels
// of 16 columns. The left-hand matrix is bytes q of one zero point; a row of it
// is Taps runs of K bytes, so that it can be a matrix row or the patch of an
// image in NHWC order.
//
// The result is sum((q - zero) * w) + bias, exact in int32. Signed bytes are
// taken as q + 128, with a zero point 128 greater, and the zero point is moved
// into the start value of the sums: bias - zero*sum(w).
type Weights8 struct {
	Taps, K, N int
	// Wide says that the left-hand matrix must be int16 less its zero point:
	// weights do not fit int8, or the processor has no exact byte product for
	// them.
	Wide   bool
	signed bool
	// saturate says that pairs of products along K are added in int16 with
	// saturation, as VPMADDUBSW does.
	saturate bool
	data     []byte // [panels][Taps][steps][16 columns][4 bytes]
	start    []int32
	sums     []int32 // of the weights of each column, in order of start
	zero     int32   // that start is for
	scale    []float32
	dot      dotKernel
	panels   int // most that dot takes
}

// Rows8 is a left-hand matrix: row i has its runs at Base + Offsets[i] + Taps[t],
// in elements. Up to 3 bytes behind a run are read if K is no multiple of 4 bytes.
type Rows8 struct {
	Base    unsafe.Pointer
	Offsets []int32
	Taps    []int
	Add     []int32 // added to the sums of each row, or nil
}

// Requant is the last step of a quantized sum: round half to even of
// sum*scale, plus Zero, kept in [Lo, Hi]. The product and the conversion of the
// sum to it are in float32. The three are signed values if Signed is set.
type Requant struct {
	Lo, Hi, Zero int32
	Signed       bool
}

// dotTile is one call of an assembly kernel; its layout is known to
// _asm/int8.
type dotTile struct {
	a       *byte
	offsets *int32
	taps    *int
	tapsEnd int
	k       int
	b       *byte
	panel   int
	tiles   int
	start   *int32
	scale   *float32
	out     *byte
	ldc     int
	rows    *int32
	done    int
	raw     int
	last    finish
}

// finish is the end of the argument of all kernels.
type finish struct {
	lo, hi      float32
	zero        int32
	flipA, flip uint32
	_           int32
}

func (r Requant) finish(signed bool) finish {
	f := finish{lo: float32(r.Lo - r.Zero), hi: float32(r.Hi - r.Zero), zero: r.Zero}
	if r.Signed {
		f.zero, f.flip = r.Zero+128, flipBytes
	}
	if signed {
		f.flipA = flipBytes
	}
	return f
}

const flipBytes = 0x80808080

// dotKernel is an assembly kernel, which computes tiles of 6, 4 or 1 rows and 1, 2
// or 4 panels. (A func would have every tile allocated.)
type dotKernel uint8

const (
	dotGeneric dotKernel = iota // pure Go
	dotVNNI
	dotAVXVNNI
	dotWide  // int16 pairs, AVX-512
	dotBytes // VPMADDUBSW
	dotPairs // int16 pairs, AVX2
)

// maxSum is the number of products of two 8-bit values that int32 holds.
const maxSum = math.MaxInt32 / (255 * 255)

// Pack8 packs weights less their zero point, [n][taps][k]. bias can be nil,
// scale has one value for each column. zero is the zero point of the left-hand
// matrix, which is int8 if signed. With saturate, pairs of products are added
// in int16 with saturation where weights fit int8. It returns nil if the sums
// could pass int32.
func Pack8(taps, k, n int, w []int16, zero int32, signed bool, bias []int32, scale []float32, saturate bool) *Weights8 {
	if taps == 0 || k == 0 || n == 0 || taps*k > maxSum {
		return nil
	}
	p := &Weights8{Taps: taps, K: k, N: n, signed: signed}
	p.choose(w, saturate)
	panels := Panels(n)
	p.start, p.sums, p.scale = make([]int32, panels*Lanes), make([]int32, panels*Lanes), make([]float32, panels*Lanes)
	p.data = make([]byte, panels*p.panel())
	for i := range p.start {
		c := p.column(i)
		if c >= n {
			continue
		}
		column := w[c*taps*k : (c+1)*taps*k]
		if p.Wide {
			pack(p, unsafe.Slice((*int16)(unsafe.Pointer(&p.data[0])), len(p.data)/2), 2, i, column)
		} else {
			pack(p, unsafe.Slice((*int8)(unsafe.Pointer(&p.data[0])), len(p.data)), 4, i, column)
		}
		if bias != nil {
			p.start[i] = bias[c]
		}
		if p.scale[i] = scale[c]; p.Wide {
			continue
		}
		for _, v := range column {
			p.sums[i] += int32(v)
		}
	}
	p.setZero(-Affine8{Signed: signed}.flip(), zero)
	return p
}

// SetZero changes the zero point of the left-hand matrix.
func (p *Weights8) SetZero(zero int32) {
	if zero != p.zero {
		p.setZero(p.zero, zero)
	}
}

func (p *Weights8) setZero(from, to int32) {
	for i, s := range p.sums {
		p.start[i] -= (to - from) * s
	}
	p.zero = to
}

// column is the column at place i of the panels. The last panel ends with the
// last column, so that it overlaps the one before unless there is only one.
func (p *Weights8) column(i int) int {
	if i/Lanes == Panels(p.N)-1 && p.N > Lanes {
		return p.N - Lanes + i%Lanes
	}
	return i
}

// steps is the number of 4-byte steps of one tap.
func (p *Weights8) steps() int {
	if p.Wide {
		return (p.K + 1) / 2
	}
	return (p.K + 3) / 4
}

// panel is the number of bytes of a panel.
func (p *Weights8) panel() int { return p.Taps * p.steps() * 4 * Lanes }

// pack lays a column out at place i of the panels, in groups of 4 bytes.
func pack[T int8 | int16](p *Weights8, dst []T, group, i int, column []int16) {
	steps := p.steps()
	for t := range p.Taps {
		at := dst[((i/Lanes*p.Taps+t)*steps)*group*Lanes+i%Lanes*group:]
		for k, v := range column[t*p.K : (t+1)*p.K] {
			at[k/group*group*Lanes+k%group] = T(v)
		}
	}
}

// choose picks the kernel: bytes where their products are exact.
func (p *Weights8) choose(w []int16, saturate bool) {
	lo, hi := slices.Min(w), slices.Max(w)
	fits, pairsFit := lo >= -128 && hi <= 127, lo >= -64 && hi <= 64
	if fits && !pairsFit {
		pairsFit = p.pairsFit(w)
	}
	if saturate && fits && !pairsFit {
		p.saturate, p.panels, p.dot = true, 1, saturatingDot()
		return
	}
	p.dot, p.Wide, p.panels = chooseDot(fits, pairsFit)
}

// pairsFit reports that VPMADDUBSW, which saturates the sum of two products to
// int16, is exact.
func (p *Weights8) pairsFit(w []int16) bool {
	for i := 0; i < len(w); i += p.K {
		run := w[i : i+p.K]
		for k := 1; k < len(run); k += 2 {
			a, b := run[k-1], run[k]
			if max(a, 0)+max(b, 0) > 128 || min(a, 0)+min(b, 0) < -128 {
				return false
			}
		}
	}
	return true
}

// Dot computes len(a.Offsets) rows of out, ldc bytes apart.
func (p *Weights8) Dot(a Rows8, out []byte, ldc int, r Requant) {
	if len(a.Offsets) == 0 {
		return
	}
	_ = out[(len(a.Offsets)-1)*ldc+p.N-1]
	p.product(&a, unsafe.Pointer(&out[0]), ldc, 1, r)
}

// fewTaps is how many taps fit on the stack.
const fewTaps = 64

// Sums is Dot without the last step: ldc counts int32 elements.
func (p *Weights8) Sums(a Rows8, out []int32, ldc int) {
	if len(a.Offsets) == 0 {
		return
	}
	_ = out[(len(a.Offsets)-1)*ldc+p.N-1]
	p.product(&a, unsafe.Pointer(&out[0]), ldc*4, 4, Requant{})
}

func (p *Weights8) product(a *Rows8, out unsafe.Pointer, ldc, size int, r Requant) {
	_ = a.Taps[p.Taps-1]
	if a.Add != nil {
		_ = a.Add[len(a.Offsets)-1]
	}
	if p.dot == dotGeneric {
		p.generic(a, out, ldc, size, r)
		return
	}
	t := dotTile{a: (*byte)(a.Base), taps: &a.Taps[0], tapsEnd: 8 * p.Taps, panel: p.panel(), k: p.steps() * 4, ldc: ldc, last: r.finish(p.signed)}
	var wide [fewTaps]int
	var buffer [6 * Lanes * 4]byte
	if p.N < Lanes {
		t.out = &buffer[0]
	}
	if p.Wide {
		taps := wide[:0]
		for _, v := range a.Taps[:p.Taps] {
			taps = append(taps, 2*v)
		}
		t.taps = &taps[0]
	}
	if size == 4 {
		t.raw = 1
	}
	panels := Panels(p.N)
	for j := 0; j < panels; {
		whole := panels - j
		if p.N > Lanes && p.N%Lanes != 0 { // the last panel overlaps
			whole--
		}
		w := p.panels
		for w > max(whole, 1) {
			w /= 2
		}
		t.b, t.start, t.scale = &p.data[j*t.panel], &p.start[j*Lanes], &p.scale[j*Lanes]
		p.columns(&t, w, a, unsafe.Add(out, p.column(j*Lanes)*size), size)
		j += w
	}
}

// tileHeight is the number of rows of the next tile, with left rows to go.
func tileHeight(left int) int {
	switch {
	case left >= 6:
		return 6
	case left >= 4:
		return 4
	}
	return 1
}

// columns computes all rows of w panels.
func (p *Weights8) columns(t *dotTile, w int, a *Rows8, out unsafe.Pointer, size int) {
	if p.N < Lanes {
		p.narrow(t, a, out, size)
		return
	}
	m := len(a.Offsets)
	for i := 0; i < m; i += t.done {
		h := tileHeight(m - i)
		t.tiles, t.done = 1, 0
		if h != 4 {
			t.tiles = (m - i) / h
		}
		t.offsets = &a.Offsets[i]
		if a.Add != nil {
			t.rows = &a.Add[i]
		}
		t.out = (*byte)(unsafe.Add(out, i*t.ldc))
		p.dot.run(h, w, t)
	}
}

// narrow is columns for less than a panel, through a buffer of six rows.
func (p *Weights8) narrow(t *dotTile, a *Rows8, out unsafe.Pointer, size int) {
	ldc, m := t.ldc, len(a.Offsets)
	t.ldc = Lanes * size
	buffer := unsafe.Slice(t.out, 6*Lanes*size)
	for i := 0; i < m; i += t.done {
		h := tileHeight(m - i)
		t.tiles, t.done = 1, 0
		t.offsets = &a.Offsets[i]
		if a.Add != nil {
			t.rows = &a.Add[i]
		}
		p.dot.run(h, 1, t)
		for r := range h {
			copy(unsafe.Slice((*byte)(unsafe.Add(out, (i+r)*ldc)), p.N*size), buffer[r*Lanes*size:])
		}
	}
}

// generic is product in plain Go.
func (p *Weights8) generic(a *Rows8, out unsafe.Pointer, ldc, size int, r Requant) {
	steps, panel := p.steps(), p.panel()
	for i, offset := range a.Offsets {
		for j := range p.N {
			place := j
			if j/Lanes == Panels(p.N)-1 && p.N > Lanes {
				place = j/Lanes*Lanes + j - (p.N - Lanes)
			}
			sum := p.start[place]
			if a.Add != nil {
				sum += a.Add[i]
			}
			for t, tap := range a.Taps[:p.Taps] {
				sum += p.run(a.Base, int(offset)+tap, place/Lanes*panel+t*steps*4*Lanes+place%Lanes*4)
			}
			to := unsafe.Add(out, i*ldc+j*size)
			if size == 4 {
				*(*int32)(to) = sum
			} else {
				*(*byte)(to) = r.round(sum, p.scale[place])
			}
		}
	}
}

// run is the sum of products of one tap.
func (p *Weights8) run(base unsafe.Pointer, a, b int) (sum int32) {
	var flip byte
	if p.signed {
		flip = 0x80
	}
	var before int32
	for k := range p.K {
		if p.Wide {
			x := *(*int16)(unsafe.Add(base, 2*(a+k)))
			w := *(*int16)(unsafe.Pointer(&p.data[b+k/2*4*Lanes+k%2*2]))
			sum += int32(x) * int32(w)
		} else {
			x := *(*uint8)(unsafe.Add(base, a+k)) ^ flip
			v := int32(x) * int32(int8(p.data[b+k/4*4*Lanes+k%4]))
			if p.saturate && k%2 == 1 {
				v = min(max(before+v, math.MinInt16), math.MaxInt16) - before
			}
			before = v
			sum += v
		}
	}
	return sum
}

// round is the requantized byte of a sum.
func (r Requant) round(sum int32, scale float32) byte {
	v := float32(sum) * scale
	v = max(min(v, float32(r.Hi-r.Zero)), float32(r.Lo-r.Zero))
	return byte(int32(math.RoundToEven(float64(v))) + r.Zero)
}

package kernel

import (
	"math"
	"unsafe"
)

//go:generate sh -c "cd _asm && go run ./int8 -out ../int8_amd64.s -stubs ../int8_amd64.go -pkg kernel"

// Weights8 is a constant right-hand matrix of 8-bit products, packed in panels
// of 16 columns for Dot. The left-hand matrix A is unsigned bytes q of one zero
// point; a row of it is Taps runs of K bytes, found by offsets, so that it can
// be a matrix row or the patch of an image in NHWC order.
//
// The result is sum((q - zero) * w) + bias, exact in int32. The zero point is
// moved into the start value of the sums: bias - zero*sum(w).
type Weights8 struct {
	Taps, K, N int
	// Pairs says that A must be int16 less its zero point: weights do not fit
	// int8, or the processor has no exact byte product for them.
	Pairs bool
	data  []byte // [panels][Taps][ceil(K*elem/4)][16 columns][4 bytes]
	start []int32
	scale []float32
	dot   dotFunc // nil: pure Go
	wide  bool    // dot takes up to four panels
}

// Requant is the last step of a quantized sum: round half to even of
// sum*scale, kept in [Lo, Hi], where Zero is the zero point of the result. The
// product and the conversion of the sum to it are in float32.
type Requant struct {
	Lo, Hi, Zero int32
}

// dotTile is one call of an assembly kernel; its layout is known to
// _asm/int8.
type dotTile struct {
	a       *byte
	offsets *int32
	b       *byte
	panel   int
	taps    int
	k       int
	tiles   int
	start   *int32
	scale   *float32
	out     *byte
	ldc     int
	rows    *int32
	done    int
	raw     int
	lo, hi  float32
	zero    int32
	_       int32
}

// dotFunc computes tiles of 6, 4 or 1 rows and 1, 2 or 4 panels.
type dotFunc func(rows, panels int, t *dotTile)

// maxSum is the number of products of two 8-bit values that int32 holds.
const maxSum = math.MaxInt32 / (255 * 255)

// Pack8 packs weights less their zero point: w(tap, k, n). bias can be nil, scale
// has one value for each column. It returns nil if the sums could pass int32.
func Pack8(taps, k, n int, w func(tap, k, n int) int32, zero int32, bias []int32, scale []float32) *Weights8 {
	if taps == 0 || k == 0 || n == 0 || taps*k > maxSum {
		return nil
	}
	p := &Weights8{Taps: taps, K: k, N: n}
	p.choose(w)
	panels := Panels(n)
	p.start, p.scale = make([]int32, panels*Lanes), make([]float32, panels*Lanes)
	if p.Pairs {
		p.data = make([]byte, panels*p.panel())
		packed := unsafe.Slice((*int16)(unsafe.Pointer(&p.data[0])), len(p.data)/2)
		pack(p, packed, 2, w)
	} else {
		p.data = make([]byte, panels*p.panel())
		packed := unsafe.Slice((*int8)(unsafe.Pointer(&p.data[0])), len(p.data))
		pack(p, packed, 4, w)
	}
	for i := range p.start {
		c := p.column(i)
		if c >= n {
			continue
		}
		if bias != nil {
			p.start[i] = bias[c]
		}
		if p.scale[i] = scale[c]; p.Pairs {
			continue
		}
		var sum int32
		for t := range taps {
			for j := range k {
				sum += w(t, j, c)
			}
		}
		p.start[i] -= zero * sum
	}
	return p
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
	if p.Pairs {
		return (p.K + 1) / 2
	}
	return (p.K + 3) / 4
}

// panel is the number of bytes of a panel.
func (p *Weights8) panel() int { return p.Taps * p.steps() * 4 * Lanes }

func pack[T int8 | int16](p *Weights8, dst []T, group int, w func(tap, k, n int) int32) {
	steps := p.steps()
	for i := range Panels(p.N) * Lanes {
		c := p.column(i)
		if c >= p.N {
			continue
		}
		for t := range p.Taps {
			at := ((i/Lanes*p.Taps+t)*steps)*group*Lanes + i%Lanes*group
			for k := range p.K {
				dst[at+k/group*group*Lanes+k%group] = T(w(t, k, c))
			}
		}
	}
}

// choose picks the kernel: bytes where their products are exact.
func (p *Weights8) choose(w func(tap, k, n int) int32) {
	fits, pairsFit := true, true
	for n := range p.N {
		for t := range p.Taps {
			var before int32
			for k := range p.K {
				v := w(t, k, n)
				fits = fits && v >= -128 && v <= 127
				if k%2 == 0 {
					before = v
					continue
				}
				// VPMADDUBSW saturates the sum of two products to int16.
				pairsFit = pairsFit && max(before, 0)+max(v, 0) <= 128 && min(before, 0)+min(v, 0) >= -128
			}
		}
	}
	p.dot, p.Pairs, p.wide = chooseDot(fits, pairsFit)
}

// Dot computes m rows of out, ldc bytes apart, as bytes. Row i of A is the runs
// of K elements at base + offsets[i*Taps+t] elements in order of PackOffsets; base
// must be followed by 3 readable bytes. rows, if not nil, is added to the sums
// of each row.
func (p *Weights8) Dot(m int, base unsafe.Pointer, offsets []int32, rows []int32, out []byte, ldc int, r Requant) {
	if m == 0 {
		return
	}
	_ = out[(m-1)*ldc+p.N-1]
	p.dotAny(m, base, offsets, rows, unsafe.Pointer(&out[0]), ldc, 1, r)
}

// Sums is Dot without the last step: ldc counts int32 elements.
func (p *Weights8) Sums(m int, base unsafe.Pointer, offsets []int32, rows []int32, out []int32, ldc int) {
	if m == 0 {
		return
	}
	_ = out[(m-1)*ldc+p.N-1]
	p.dotAny(m, base, offsets, rows, unsafe.Pointer(&out[0]), ldc*4, 4, Requant{})
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

// PackOffsets brings the offsets [row][tap] into the order in which Dot reads
// them: for each tile of 6, 4 or 1 rows, [tap][row].
func PackOffsets(offsets []int32, taps int) []int32 {
	out := make([]int32, len(offsets))
	m := len(offsets) / taps
	for i := 0; i < m; {
		h := tileHeight(m - i)
		for t := range taps {
			for r := range h {
				out[i*taps+t*h+r] = offsets[(i+r)*taps+t]
			}
		}
		i += h
	}
	return out
}

func (p *Weights8) dotAny(m int, base unsafe.Pointer, offsets, rows []int32, out unsafe.Pointer, ldc, size int, r Requant) {
	_ = offsets[m*p.Taps-1]
	if rows != nil {
		_ = rows[m-1]
	}
	if p.dot == nil {
		p.generic(m, base, offsets, rows, out, ldc, size, r)
		return
	}
	t := dotTile{a: (*byte)(base), panel: p.panel(), taps: p.Taps, k: p.steps() * 4, ldc: ldc, zero: r.Zero,
		lo: float32(r.Lo - r.Zero), hi: float32(r.Hi - r.Zero)}
	if size == 4 {
		t.raw = 1
	}
	panels := Panels(p.N)
	for j := 0; j < panels; {
		w := 1
		if p.wide {
			whole := panels - j
			if p.N > Lanes && p.N%Lanes != 0 { // the last panel overlaps
				whole--
			}
			for w = 4; w > max(whole, 1); w /= 2 {
			}
		}
		t.b, t.start, t.scale = &p.data[j*t.panel], &p.start[j*Lanes], &p.scale[j*Lanes]
		p.columns(&t, m, w, offsets, rows, unsafe.Add(out, p.column(j*Lanes)*size), size)
		j += w
	}
}

// columns computes all rows of w panels.
func (p *Weights8) columns(t *dotTile, m, w int, offsets, rows []int32, out unsafe.Pointer, size int) {
	var narrow [6 * Lanes * 4]byte
	for i := 0; i < m; {
		h := tileHeight(m - i)
		t.tiles, t.done = 1, 0
		if h == 6 {
			t.tiles = (m - i) / 6
		}
		t.offsets = &offsets[i*p.Taps]
		t.rows = nil
		if rows != nil {
			t.rows = &rows[i]
		}
		at := unsafe.Add(out, i*t.ldc)
		if p.N >= Lanes {
			t.out = (*byte)(at)
			n := t.tiles * h
			p.dot(h, w, t)
			i += n
			continue
		}
		// Fewer columns than a panel go through a buffer.
		ldc := t.ldc
		t.tiles, t.out, t.ldc = 1, &narrow[0], Lanes*size
		p.dot(h, w, t)
		t.ldc = ldc
		for r := range h {
			copy(unsafe.Slice((*byte)(unsafe.Add(at, r*ldc)), p.N*size), narrow[r*Lanes*size:])
		}
		i += h
	}
}

// generic is dotAny in plain Go.
func (p *Weights8) generic(m int, base unsafe.Pointer, offsets, rows []int32, out unsafe.Pointer, ldc, size int, r Requant) {
	steps, panel := p.steps(), p.panel()
	for i := 0; i < m; {
		h := tileHeight(m - i)
		for row := range h {
			var add int32
			if rows != nil {
				add = rows[i+row]
			}
			for j := range p.N {
				at := j / Lanes * panel
				place := j
				if j/Lanes == Panels(p.N)-1 && p.N > Lanes {
					place = j/Lanes*Lanes + j - (p.N - Lanes)
				}
				sum := p.start[place] + add
				for t := range p.Taps {
					a := offsets[i*p.Taps+t*h+row]
					sum += p.run(base, int(a), at+t*steps*4*Lanes+place%Lanes*4)
				}
				to := unsafe.Add(out, (i+row)*ldc+j*size)
				if size == 4 {
					*(*int32)(to) = sum
				} else {
					*(*byte)(to) = r.round(sum, p.scale[place])
				}
			}
		}
		i += h
	}
}

// run is the sum of products of one tap.
func (p *Weights8) run(base unsafe.Pointer, a, b int) (sum int32) {
	for k := range p.K {
		if p.Pairs {
			x := *(*int16)(unsafe.Add(base, 2*(a+k)))
			w := *(*int16)(unsafe.Pointer(&p.data[b+k/2*4*Lanes+k%2*2]))
			sum += int32(x) * int32(w)
		} else {
			x := *(*uint8)(unsafe.Add(base, a+k))
			sum += int32(x) * int32(int8(p.data[b+k/4*4*Lanes+k%4]))
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

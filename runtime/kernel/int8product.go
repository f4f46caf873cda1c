package kernel

import (
	"encoding/binary"
	"unsafe"
)

// Product8 multiplies two matrices of bytes that change from run to run, [m, k]
// by [k, n]. With b' = b as signed bytes and z' its zero point,
// sum((a-za)*(b'-z')) = sum(a*b') - z'*sum(a) - za*sum(b') + k*za*z'.
type Product8 struct {
	k, n   int
	a, b   Affine8 // zero points as kernels take the bytes
	weight Weights8
}

// NewProduct8 prepares products of one size and one pair of parameters.
func NewProduct8(k, n int, a, b Affine8) *Product8 {
	p := &Product8{k: k, n: n, a: a, b: b}
	p.weight = Weights8{Taps: 1, K: k, N: n, signed: a.Signed}
	p.weight.dot, p.weight.Wide, p.weight.panels = chooseDot(true, false)
	return p
}

// Wide says that a must be int16 less its zero point, and Elem is the size of
// its elements.
func (p *Product8) Wide() bool { return p.weight.Wide }

// Elem is 2 if Wide, else 1.
func (p *Product8) Elem() int {
	if p.Wide() {
		return 2
	}
	return 1
}

// Size is the bytes that Pack needs.
func (p *Product8) Size() int {
	return Panels(p.n) * (p.weight.panel() + 4*Lanes)
}

// Pack lays b out in dst. scale has a value for each column of whole panels.
func (p *Product8) Pack(dst []byte, b []byte, scale []float32) Weights8 {
	w := p.weight
	panels, panel := Panels(p.n), w.panel()
	w.data, w.scale = dst[:panels*panel], scale
	w.start = unsafe.Slice((*int32)(unsafe.Pointer(&dst[panels*panel])), panels*Lanes)
	clear(w.start)
	clear(w.data)
	za, zb := p.a.Zero+p.a.flip(), p.b.Zero
	flip := byte(0x80)
	if p.b.Signed {
		flip = 0
	} else {
		zb -= 128
	}
	for j := range panels {
		c0 := w.column(j * Lanes)
		cols := min(Lanes, p.n-c0)
		to, start := w.data[j*panel:(j+1)*panel], w.start[j*Lanes:(j+1)*Lanes]
		if w.Wide {
			for k := range p.k {
				at := to[k/2*4*Lanes+k%2*2:]
				for c, v := range b[k*p.n+c0:][:cols] {
					*(*int16)(unsafe.Pointer(&at[4*c])) = int16(int32(int8(v^flip)) - zb)
				}
			}
			continue
		}
		for k := 0; k < p.k; k += 4 {
			packQuad(to[k*Lanes:(k+4)*Lanes], start, b[k*p.n+c0:], p.n, cols, min(4, p.k-k), flip)
		}
		for c := range cols {
			start[c] = -za*start[c] + int32(p.k)*za*zb
		}
	}
	return w
}

// packQuad lays up to four rows of cols bytes out as the groups of four of each
// column, and adds them to sums.
func packQuad(to []byte, sums []int32, b []byte, stride, cols, rows int, flip byte) {
	if rows < 4 {
		for r := range rows {
			for c, v := range b[r*stride:][:cols] {
				to[4*c+r] = v ^ flip
				sums[c] += int32(int8(v ^ flip))
			}
		}
		return
	}
	r0, r1, r2, r3 := b[:cols], b[stride:][:cols], b[2*stride:][:cols], b[3*stride:][:cols]
	sums = sums[:cols]
	for c := range sums {
		v0, v1, v2, v3 := r0[c]^flip, r1[c]^flip, r2[c]^flip, r3[c]^flip
		binary.LittleEndian.PutUint32(to[4*c:4*c+4], uint32(v0)|uint32(v1)<<8|uint32(v2)<<16|uint32(v3)<<24)
		sums[c] += int32(int8(v0)) + int32(int8(v1)) + int32(int8(v2)) + int32(int8(v3))
	}
}

// Rows puts what to add to the sums of each row of a into out; it returns nil
// if that is nothing.
func (p *Product8) Rows(out []int32, a []byte) []int32 {
	zb := p.b.Zero
	if !p.b.Signed {
		zb -= 128
	}
	if p.Wide() || zb == 0 {
		return nil
	}
	for i := range out {
		out[i] = -zb * SumBytes(a[i*p.k:(i+1)*p.k], p.a.Signed)
	}
	return out
}

// SumBytes is the sum of bytes, signed ones plus 128.
func SumBytes(b []byte, signed bool) int32 {
	flip := byte(Affine8{Signed: signed}.flip())
	sum, n := sum8Fast(b, flip)
	for _, v := range b[n:] {
		sum += int32(v ^ flip)
	}
	return sum
}

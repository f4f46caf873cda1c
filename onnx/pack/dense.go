package pack

import "encoding/binary"

// codeFloats codes float32 elements: sign, exponent and the first bits of the
// mantissa under the exponents beside and above, the rest as it is.
func codeFloats(t *tensors, b []byte, s shape) {
	f := &floatModel{c: t.c, exponents: make([]slot, 3<<16), heads: make([]slot, 256<<headBits), mix: newMixer(4, 9, 0.35, 2, 200)}
	for _, list := range [][]slot{f.exponents, f.heads} {
		for i := range list {
			list[i] = freshSlot
		}
	}
	trailing := 23
	for i := 0; i < len(b) && trailing > 0 && !t.c.decode; i += 4 {
		u := binary.LittleEndian.Uint32(b[i:])
		for trailing > 0 && u&(1<<trailing-1) != 0 {
			trailing--
		}
	}
	trailing = min(t.number(trailing, 3), 23)
	above := make([]uint8, s.cols)
	left := uint8(0)
	for i := 0; i < len(b); i += 4 {
		x := i / 4 % s.cols
		u := f.element(binary.LittleEndian.Uint32(b[i:]), trailing, left, above[x])
		if t.c.decode {
			binary.LittleEndian.PutUint32(b[i:], u)
		}
		left = uint8(u >> 23)
		above[x] = left
	}
}

type floatModel struct {
	c         *coder
	mix       *mixer
	exponents []slot // by context, exponents before and the bits so far
	heads     []slot // by exponent, and the first bits of the mantissa so far
}

const headBits = 4

func (f *floatModel) element(u uint32, trailing int, left, above uint8) uint32 {
	alone, beside, below := f.exponents[:256], f.exponents[1<<16|int(left)<<8:][:256], f.exponents[2<<16|int(above)<<8:][:256]
	node := 1
	for i := 7; i >= 0; i-- {
		x, y, z := &alone[node&255], &beside[node&255], &below[node&255]
		b := f.mix.code4(f.c, int(u>>(23+i)&1), stretch(x.p()), stretch(y.p()), stretch(z.p()), stretchOne/2, i)
		x.update(b, 1000)
		y.update(b, 1000)
		z.update(b, 1000)
		node = node<<1 | b
	}
	e := node & 255
	sign := f.c.plain(u>>31, 1)
	m := 1
	for i := 22; i >= trailing; i-- {
		if 22-i >= headBits {
			return sign<<31 | uint32(e)<<23 | (uint32(m)<<(i+1)|f.c.plain(u>>trailing&(1<<(i+1-trailing)-1), i+1-trailing)<<trailing)&(1<<23-1)
		}
		t := &f.heads[e<<headBits|m]
		b := f.c.bit(int(u>>i&1), max(1, min(65535, t.p())))
		t.update(b, 1000)
		m = m<<1 | b
	}
	return sign<<31 | uint32(e)<<23 | uint32(m)<<trailing&(1<<23-1)
}

// chunk codes any bytes by what came before them and by their place in an
// element.
func (t *tensors) chunk(b []byte, l layout, rich bool) {
	if t.any == nil {
		t.any = newSymbols(t.c, 18, 16)
	}
	s := t.any
	width := 1
	if l.dtype < len(elementBits) {
		width = max(1, elementBits[l.dtype]/8)
	}
	kind := uint32(width)
	for i, x := range b {
		at, same := uint32(i%width), uint32(0)
		if i >= width {
			same = uint32(b[i-width])
		}
		s.context(kind, at)
		s.context(kind, at, same)
		s.context(kind, at, s.last(1))
		s.context(s.last(2))
		if rich {
			s.context(at, s.last(1), same)
			s.context(s.last(3))
			s.context(s.last(4))
			s.context(at, s.last(width))
		}
		got := byte(s.code(int(x), 8, int(at)))
		if t.c.decode {
			b[i] = got
		}
	}
}

// maxChunk is how many bytes of no model are coded at a time, richBytes the
// size up to which more contexts are mixed.
const (
	maxChunk  = 1 << 16
	richBytes = 1 << 18
)

// bytes codes the size bytes of b, or decodes and emits them.
func (t *tensors) bytes(b []byte, size int, l layout, emit func([]byte) error) error {
	rich := size < richBytes
	for at := 0; at < size; at += maxChunk {
		n := min(size-at, maxChunk)
		if !t.c.decode {
			t.chunk(b[at:at+n], l, rich)
			continue
		}
		part := make([]byte, n)
		if t.chunk(part, l, rich); t.c.over > overrun {
			return errTruncated
		}
		if err := emit(part); err != nil {
			return err
		}
	}
	return nil
}

package pack

import (
	"encoding/binary"
	"math/bits"
)

// coder is a binary arithmetic coder with 64-bit bounds and 16-bit
// probabilities. The same code drives both directions: an encoder writes the
// decision it is given, a decoder ignores it and returns the one it reads, so
// that every model below is written once.
type coder struct {
	decode   bool
	low, top uint64 // the interval, both ends included
	code     uint64 // decoder: the next 64 bits of the stream
	in       []byte // decoder: the stream
	read     int    // decoder: bytes of it read
	over     int    // decoder: zero bytes read past the end
	out      []byte // encoder
	cost     bool   // encoder: count bits instead of writing
	bits     uint64 // with cost: the code length in 1/2^16 bits
}

// overrun is how far a decoder reads past the end of a whole stream at most.
const overrun = 8

func newEncoder() *coder { return &coder{top: 1<<64 - 1} }

// newMeter is an encoder that only measures the code length.
func newMeter() *coder { return &coder{top: 1<<64 - 1, cost: true} }

func newDecoder(in []byte) *coder {
	c := &coder{decode: true, top: 1<<64 - 1, in: in}
	for range 8 {
		c.code = c.code<<8 | uint64(c.next())
	}
	return c
}

// next is the next byte of the stream, zero past its end: the encoder drops
// trailing zeros.
func (c *coder) next() byte {
	if c.read == len(c.in) {
		c.over++
		return 0
	}
	c.read++
	return c.in[c.read-1]
}

// bit codes one decision, whose probability of being 1 is p/2^16, 0 < p < 2^16.
func (c *coder) bit(b int, p int) int {
	if c.cost {
		if b == 0 {
			p = 1<<16 - p
		}
		c.bits += uint64(tables.cost[p])
		return b
	}
	part, _ := bits.Mul64(c.top-c.low, uint64(p)<<48)
	mid := c.low + part
	if c.decode {
		b = 0
		if c.code <= mid {
			b = 1
		}
	}
	if b == 1 {
		c.top = mid
	} else {
		c.low = mid + 1
	}
	if (c.low^c.top)>>56 == 0 {
		c.shift()
	}
	return b
}

// shift moves the leading bytes that are decided out of the interval.
func (c *coder) shift() {
	for (c.low^c.top)>>56 == 0 {
		if c.decode {
			c.code = c.code<<8 | uint64(c.next())
		} else {
			c.out = append(c.out, byte(c.top>>56))
		}
		c.low <<= 8
		c.top = c.top<<8 | 255
	}
}

// plain codes n bits that no model predicts, each as bit does with p = 2^15. It
// has no branch on them, for none could be predicted.
func (c *coder) plain(v uint32, n int) uint32 {
	if c.cost {
		c.bits += uint64(n) << 16
		return v
	}
	out := uint32(0)
	low, span := c.low, c.top-c.low
	for i := n - 1; i >= 0; i-- {
		half := span >> 1
		zero := uint64(^v >> i & 1)
		if c.decode {
			_, zero = bits.Sub64(half, c.code-low, 0)
		}
		out = out<<1 | uint32(1-zero)
		low += (half + 1) & -zero
		span = (span - zero) >> 1
		if (low^(low+span))>>56 == 0 {
			c.low, c.top = low, low+span
			c.shift()
			low, span = c.low, c.top-c.low
		}
	}
	c.low, c.top = low, low+span
	return out
}

// finish is the stream of an encoder: the shortest that decodes when at most
// overrun zeros follow it.
func (c *coder) finish() []byte {
	decided := len(c.out)
	for shift := 56; shift >= 0; shift -= 8 { // the fewest leading bytes of a number in the interval
		v := c.low + (1<<shift - 1)
		if v = v >> shift << shift; v >= c.low && v <= c.top {
			c.out = binary.BigEndian.AppendUint64(c.out, v)
			break
		}
	}
	for len(c.out) > decided && c.out[len(c.out)-1] == 0 {
		c.out = c.out[:len(c.out)-1]
	}
	return c.out
}

package op

import (
	"bytes"
	"fmt"
)

// pnm is the header of a portable anymap: P1 to P6.
type pnm struct {
	kind, width, height, max int
	data                     []byte
}

func parsePNM(stream []byte) (p pnm, ok bool) {
	if len(stream) < 2 || stream[0] != 'P' || stream[1] < '1' || stream[1] > '6' {
		return p, false
	}
	p = pnm{kind: int(stream[1] - '0'), max: 1, data: stream[2:]}
	fields := []*int{&p.width, &p.height, &p.max}
	if p.bits() {
		fields = fields[:2]
	}
	for _, f := range fields {
		if *f, ok = p.number(9); !ok {
			return p, false
		}
	}
	if p.kind >= 4 && len(p.data) > 0 { // one space ends the header of the binary forms
		p.data = p.data[1:]
	}
	return p, p.width > 0 && p.height > 0 && p.max > 0 && p.max < 1<<16
}

// bits reports a bitmap, in which 1 is black.
func (p *pnm) bits() bool { return p.kind == 1 || p.kind == 4 }

// number reads a decimal of at most digits digits behind space and comments.
func (p *pnm) number(digits int) (n int, ok bool) {
	for len(p.data) > 0 {
		switch c := p.data[0]; {
		case c == '#':
			_, p.data, _ = bytes.Cut(p.data, []byte("\n"))
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			p.data = p.data[1:]
		default:
			i := 0
			for i < len(p.data) && i < digits && p.data[i] >= '0' && p.data[i] <= '9' {
				n = 10*n + int(p.data[i]-'0')
				i++
			}
			p.data = p.data[i:]
			return n, i > 0
		}
	}
	return 0, false
}

// pixels reads the samples; images that end early are damaged.
func (p *pnm) pixels() (pixels, error) {
	channels, n := 1, p.width*p.height
	if p.kind == 3 || p.kind == 6 {
		channels = 3
	}
	pix := pixels{width: p.width, height: p.height, rgb: make([]byte, 0, 3*n)}
	for i := range n * channels {
		v, ok := p.sample(i)
		if !ok {
			return pixels{}, fmt.Errorf("only %d of %d samples", i, n*channels)
		}
		v = min(v, p.max)
		if p.bits() {
			v = 1 - v
		}
		b := byte((v*255 + p.max/2) / p.max)
		pix.rgb = append(pix.rgb, b)
		if channels == 1 {
			pix.rgb = append(pix.rgb, b, b)
		}
	}
	return pix, nil
}

// sample reads sample i; text forms are read in order.
func (p *pnm) sample(i int) (int, bool) {
	at, wide := i, p.max > 255
	switch {
	case p.kind == 1:
		return p.number(1)
	case p.kind < 4:
		return p.number(9)
	case p.kind == 4: // rows of whole bytes, the high bit first
		x := i % p.width
		at = i/p.width*((p.width+7)/8) + x/8
		if at >= len(p.data) {
			return 0, false
		}
		return int(p.data[at] >> (7 - x%8) & 1), true
	case wide:
		at *= 2
	}
	if at+1 >= len(p.data) && (wide || at >= len(p.data)) {
		return 0, false
	}
	if wide {
		return int(p.data[at])<<8 | int(p.data[at+1]), true
	}
	return int(p.data[at]), true
}

package dim

import (
	"strconv"
	"strings"
)

// Parse reads a dim_param: an expression that String wrote, or else any name,
// which is one symbol whatever characters it has.
func Parse(s string) Dim {
	if len(s) > 256 {
		return Sym(s)
	}
	p := parser{s: s}
	d, ok := p.sum()
	if !ok || p.pos != len(p.s) || !d.known {
		return Sym(s)
	}
	return d
}

type parser struct {
	s     string
	pos   int
	depth int
}

func (p *parser) eat(c byte) bool {
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *parser) sum() (Dim, bool) {
	if p.depth++; p.depth > 32 {
		return Dim{}, false
	}
	defer func() { p.depth-- }()
	sign := int64(1)
	if p.eat('-') {
		sign = -1
	}
	d, ok := p.product()
	d = d.Mul(Of(sign))
	for ok {
		var t Dim
		switch {
		case p.eat('+'):
			t, ok = p.product()
			d = d.Add(t)
		case p.eat('-'):
			t, ok = p.product()
			d = d.Sub(t)
		default:
			return d, true
		}
	}
	return Dim{}, false
}

func (p *parser) product() (Dim, bool) {
	d, ok := p.factor()
	for ok && p.eat('*') {
		var f Dim
		f, ok = p.factor()
		d = d.Mul(f)
	}
	return d, ok
}

func (p *parser) factor() (Dim, bool) {
	start := p.pos
	for p.pos < len(p.s) && isName(p.s[p.pos]) {
		p.pos++
	}
	word := p.s[start:p.pos]
	switch {
	case word == "" && p.eat('('):
		d, ok := p.sum()
		return d, ok && p.eat(')')
	case word == "":
		return Dim{}, false
	case word[0] >= '0' && word[0] <= '9':
		n, err := strconv.ParseInt(word, 10, 64)
		return Of(n), err == nil
	case (word == "floor" || word == "min" || word == "max") && p.eat('('):
		return p.call(word)
	}
	return Sym(word), true
}

func (p *parser) call(op string) (Dim, bool) {
	sep := byte(',')
	if op == "floor" {
		sep = '/'
	}
	a, ok := p.sum()
	if !ok || !p.eat(sep) {
		return Dim{}, false
	}
	b, ok := p.sum()
	if !ok || !p.eat(')') {
		return Dim{}, false
	}
	if op == "floor" {
		return a.FloorDiv(b), true
	}
	return a.pick(b, op), true
}

func isName(c byte) bool {
	return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c >= 0x80 || strings.IndexByte(":$#@", c) >= 0
}

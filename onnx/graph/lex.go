package graph

import (
	"fmt"
	"strings"

	"onnxopt/onnx/tensor"
)

// lexer reads the tokens of the ONNX text syntax. The first error sticks.
type lexer struct {
	s     string
	pos   int
	depth int
	err   error
}

// maxTextDepth bounds how deep graphs and types nest in a text.
const maxTextDepth = 100

// fail records an error at the present position.
func (l *lexer) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf("%s: "+format, append([]any{position(l.s, l.pos)}, args...)...)
	}
}

// position is line:column, both from 1.
func position(s string, pos int) string {
	head := s[:min(pos, len(s))]
	return fmt.Sprintf("%d:%d", 1+strings.Count(head, "\n"), len(head)-strings.LastIndexByte(head, '\n'))
}

func (l *lexer) enter() bool {
	if l.depth++; l.depth > maxTextDepth {
		l.fail("nested deeper than %d", maxTextDepth)
	}
	return l.err == nil
}

func (l *lexer) leave() { l.depth-- }

// peek skips space and comments and gives the next byte, 0 at the end and
// after an error.
func (l *lexer) peek() byte {
	for l.err == nil && l.pos < len(l.s) {
		switch c := l.s[l.pos]; c {
		case ' ', '\t', '\n', '\v', '\f', '\r':
			l.pos++
		case '#':
			n := strings.IndexByte(l.s[l.pos:], '\n')
			if n < 0 {
				n = len(l.s) - l.pos
			}
			l.pos += n
		default:
			return c
		}
	}
	return 0
}

// eat consumes c if it comes next.
func (l *lexer) eat(c byte) bool {
	if l.peek() != c || c == 0 {
		return false
	}
	l.pos++
	return true
}

func (l *lexer) want(c byte) {
	if !l.eat(c) {
		l.fail("%q expected", string(c))
	}
}

// list reads parts separated by commas up to the closing byte.
func (l *lexer) list(open, end byte, part func()) {
	l.want(open)
	if l.eat(end) {
		return
	}
	for l.err == nil {
		part()
		if !l.eat(',') {
			break
		}
	}
	l.want(end)
}

// word is the identifier that comes next, "" if none does. peekWord leaves it.
func (l *lexer) word() string {
	w := l.peekWord()
	l.pos += len(w)
	return w
}

func (l *lexer) peekWord() string {
	if l.peek() == 0 {
		return ""
	}
	end := l.pos
	for end < len(l.s) && isNameByte(l.s[end], end == l.pos) {
		end++
	}
	return l.s[l.pos:end]
}

// name is an identifier or a quoted string.
func (l *lexer) name() string {
	if l.peek() == '"' {
		return l.text()
	}
	w := l.word()
	if w == "" {
		l.fail("a name expected")
	}
	return w
}

// text is a quoted string; a backslash takes the next byte as it is.
func (l *lexer) text() string {
	if l.peek() != '"' {
		l.fail("a quoted string expected")
		return ""
	}
	var b []byte
	for i := l.pos + 1; i < len(l.s); i++ {
		switch c := l.s[i]; {
		case c == '"':
			l.pos = i + 1
			return string(b)
		case c == '\\' && i+1 < len(l.s):
			i++
			b = append(b, l.s[i])
		default:
			b = append(b, c)
		}
	}
	l.fail("the string has no end")
	return ""
}

// number is the text of a number and whether it is a float.
func (l *lexer) number() (s string, float bool) {
	l.peek()
	i := l.pos
	digits := func() {
		for i < len(l.s) && l.s[i] >= '0' && l.s[i] <= '9' {
			i++
		}
	}
	at := func(set string) bool { return i < len(l.s) && strings.IndexByte(set, l.s[i]) >= 0 }
	if at("-+") {
		i++
	}
	start := i
	for i < len(l.s) && (l.s[i]|0x20 >= 'a' && l.s[i]|0x20 <= 'z') {
		i++
	}
	if isFloatWord(l.s[start:i]) {
		s, l.pos = l.s[l.pos:i], i
		return s, true
	}
	i = start
	digits()
	if at(".") {
		float = true
		i++
		digits()
	}
	if i > start && at("eE") {
		float = true
		i++
		if at("-+") {
			i++
		}
		digits()
	}
	if i == start || i == start+1 && l.s[start] == '.' {
		l.fail("a number expected")
		return "0", false
	}
	s, l.pos = l.s[l.pos:i], i
	return s, float
}

func isFloatWord(s string) bool {
	switch strings.ToLower(s) {
	case "inf", "infinity", "nan":
		return true
	}
	return false
}

func isTypeWord(s string) bool {
	switch s {
	case "seq", "map", "optional", "sparse_tensor", "opaque":
		return true
	}
	_, ok := tensor.ParseDType(s)
	return ok
}

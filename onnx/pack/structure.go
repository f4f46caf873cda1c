package pack

import (
	"encoding/binary"
	"errors"
)

// structure codes the fields of a model other than its blobs, as one message
// after the other. What ONNX files repeat is guessed from what came before: a
// node reads what the node before it wrote, initializers are what nodes read
// and nothing wrote, names hold the operator.
type structure struct {
	*symbols
	room int // bytes that a decoder may still make
	err  error

	tags    [3]uint32         // the last tags of the message at hand
	key     uint32            // what the message at hand is: operator or attribute
	before  map[uint32][]byte // the last string of each field
	numbers map[uint32]uint64 // the last number
	guesses guesses
}

var (
	errTooLarge = errors.New("the structure is larger than the container says")
	errDepth    = errors.New("messages nest too deep")
)

// tagEscape is a tag whose number and wire type follow; flagBlob and flagSized
// change the form of the field.
const (
	tagEscape = 31
	tagBlob   = 32
	tagWidth  = 6
)

const structureSets = 32 * 32

func newStructure(c *coder, size uint) *structure {
	return &structure{symbols: newSymbols(c, size, structureSets), before: map[uint32][]byte{}, numbers: map[uint32]uint64{}}
}

// expected is the wire type that a field has in most files.
func expected(of message, num int) uint8 {
	for _, n := range numbers[of] {
		if n == num {
			return wireVarint
		}
	}
	for _, n := range floats[of] {
		if n == num {
			return wireFixed32
		}
	}
	return wireBytes
}

// message codes one message; a decoder passes no items and gets them.
func (s *structure) message(items []item, of message, depth int) []item {
	outer, key := s.tags, s.key
	s.tags, s.key = [3]uint32{}, 0
	if depth > maxDepth {
		s.err = errDepth
	}
	for i := 0; s.err == nil; i++ {
		if s.c.over > overrun {
			s.err = errTruncated
			break
		}
		var x item
		end := i >= len(items)
		if !s.c.decode && !end {
			x = items[i]
		}
		if !s.tag(&x, of, s.c.decode || !end) {
			break
		}
		s.field(&x, of, items[:min(i, len(items))], depth)
		if s.c.decode {
			items = append(items, x)
		}
	}
	s.tags, s.key = outer, key
	if of == tensorMsg {
		lay := layoutOf(items)
		for i := range items {
			items[i].tensor = lay
		}
	}
	if s.c.decode || s.err != nil {
		return items
	}
	return nil
}

// tag codes which field is next, false at the end of the message.
func (s *structure) tag(x *item, of message, more bool) bool {
	t := 0
	if more && !s.c.decode {
		t = x.num
		if t >= tagEscape || x.wire != expected(of, x.num) {
			t = tagEscape
		}
		if x.form == blob {
			t |= tagBlob
		}
	}
	m := uint32(of)
	s.context(m, s.tags[0])
	s.context(m, s.tags[0], s.tags[1])
	s.context(m, s.tags[0], s.tags[1], s.tags[2])
	s.context(m, s.tags[0], s.key)
	s.context(m, s.tags[0], s.tags[1], s.key)
	s.context(m, s.tags[0], s.last(2))
	s.context(m, s.tags[0], s.last(4))
	s.context(m, s.tags[0], s.guesses.op)
	t = s.symbols.code(t, tagWidth, 0x1f<<5|int(of))
	s.tags = [3]uint32{uint32(t) + 1, s.tags[0], s.tags[1]}
	if t == 0 {
		return false
	}
	if t&(tagEscape) != tagEscape {
		x.num = t & tagEscape
		x.wire = expected(of, x.num)
	} else {
		x.num = int(s.number(uint64(x.num), 1))
		x.wire = uint8(s.number(uint64(x.wire), 2))
	}
	if s.c.decode {
		s.form(x, of, t&tagBlob != 0)
	}
	return true
}

// form is what a decoder learns from the tag.
func (s *structure) form(x *item, of message, isBlob bool) {
	x.of = nested[of][x.num]
	switch {
	case x.num <= 0 || x.num > maxField:
		s.err = errWire
	case x.wire == wireBytes && isBlob:
		x.form = blob
	case isBlob || x.wire != wireBytes && x.wire != wireVarint && x.wire != wireFixed32 && x.wire != wireFixed64:
		s.err = errWire
	case x.wire != wireBytes:
		x.form = number
	case x.of != 0:
		x.form = group
	default:
		x.form = text
	}
	s.spend(2)
}

// spend takes bytes off what a decoder may still make.
func (s *structure) spend(n int) {
	if s.room -= n; s.room < 0 && s.c.decode {
		s.err = errTooLarge
	}
}

// field codes the contents of a field behind its tag.
func (s *structure) field(x *item, of message, before []item, depth int) {
	f := uint32(of)<<8 | uint32(min(x.num, 255))
	switch x.form {
	case number:
		x.v = s.value(x, of, before, f)
	case text:
		x.b = s.text(x.b, of, x.num, f)
	case group:
		x.sub = s.message(x.sub, x.of, depth+1)
		s.guesses.message(x.of)
	case blob:
		s.size(x, before, of)
	}
}

// size codes the length of a blob: nothing if it follows from the tensor.
func (s *structure) size(x *item, before []item, of message) {
	want := -1
	if of == tensorMsg && x.num == tensorRaw {
		want = layoutOf(before).rawSize()
	}
	other := uint64(0)
	if x.size != want {
		other = uint64(x.size) + 1
	}
	if other = s.number(other, 3); other > 0 {
		want = int(min(other-1, 1<<50))
	}
	if x.size = want; want < 0 || want > MaxSize {
		x.size, s.err = 0, errWire
	}
}

// number codes an unsigned number of one of a few kinds that stand outside
// fields.
func (s *structure) number(v uint64, kind uint32) uint64 {
	var b [10]byte
	n := 0
	if !s.c.decode {
		binary.PutUvarint(b[:], v)
	}
	for ; n < len(b); n++ {
		s.context(kind, uint32(n))
		s.context(kind, uint32(n), s.last(1))
		s.context(kind, uint32(n), s.last(2), s.tags[1])
		b[n] = byte(s.symbols.code(int(b[n]), 8, int(0x1f<<5|0x1f)))
		if b[n] < 0x80 {
			break
		}
	}
	v, _ = binary.Uvarint(b[:])
	return v
}

// value codes the number of a field, varints as in the file and floats from
// the high byte down.
func (s *structure) value(x *item, of message, before []item, f uint32) uint64 {
	var b [10]byte
	width := 10
	s.guesses.number(x, of, before)
	switch x.wire {
	case wireVarint:
		binary.PutUvarint(b[:], x.v)
	case wireFixed32:
		width = 4
		binary.BigEndian.PutUint32(b[:], uint32(x.v))
	case wireFixed64:
		width = 8
		binary.BigEndian.PutUint64(b[:], x.v)
	}
	prefix, same := uint32(0), s.numbers[f^s.key<<16]
	for i := range width {
		s.prefixContexts(f, prefix, uint32(same))
		s.context(f, prefix, s.tags[1], s.tags[2], s.key)
		s.guessText()
		b[i] = byte(s.symbols.code(int(b[i]), 8, setOf(of, x.num)))
		s.guesses.seen(b[i])
		prefix = prefix*0x2f0b4a27 + uint32(b[i]) + 1
		if x.wire == wireVarint && b[i] < 0x80 {
			break
		}
	}
	v := uint64(binary.BigEndian.Uint32(b[:]))
	switch x.wire {
	case wireVarint:
		n := 0
		if v, n = binary.Uvarint(b[:]); n <= 0 || n > 1 && b[n-1] == 0 {
			s.err = errWire
		}
	case wireFixed64:
		v = binary.BigEndian.Uint64(b[:])
	}
	s.numbers[f^s.key<<16] = v
	return v
}

func setOf(of message, num int) int { return min(num, 30)<<5 | int(of) }

// prefixContexts are the contexts that strings and numbers share: what came
// before, and the value so far with what is known about it.
func (s *structure) prefixContexts(f, prefix, same uint32) {
	s.context(f)
	s.context(f, s.last(1))
	s.context(s.last(2))
	s.context(f, s.last(3))
	s.context(s.last(4))
	s.context(s.last(6))
	s.context(f, prefix)
	s.context(f, prefix, s.key)
	s.context(f, prefix, same)
	s.context(f, prefix, s.guesses.op)
}

// text codes a string and its end.
func (s *structure) text(t []byte, of message, num int, f uint32) []byte {
	s.guesses.start(of, num)
	prefix, same := uint32(0), hashOf(s.before[f])
	var out []byte
	for i := 0; s.err == nil; i++ {
		b := 0
		if i < len(t) {
			b = int(t[i])
		}
		s.prefixContexts(f, prefix, same)
		s.context(f, prefix, s.tags[1], s.tags[2])
		s.guessText()
		b = s.symbols.code(b, 8, setOf(of, num))
		s.guesses.seen(byte(b))
		if b == 0 {
			break
		}
		out = append(out, byte(b))
		prefix = prefix*0x2f0b4a27 + uint32(b) + 1
		if s.spend(1); i >= maxText {
			s.err = errTooLarge
		}
	}
	s.before[f] = out
	s.guesses.text(of, num, out)
	switch {
	case of == nodeMsg && num == nodeOp, of == attrMsg && num == attrName, of == tensorMsg && num == tensorName:
		s.key = hashOf(out)
	}
	return out
}

func hashOf(b []byte) uint32 {
	h := uint32(len(b))
	for _, c := range b {
		h = h*0x2f0b4a27 + uint32(c) + 1
	}
	return h
}

// guessText passes the guesses on.
func (s *structure) guessText() {
	for i := range s.guesses.now {
		sym, level := s.guesses.now[i].next()
		s.guess(i, sym, level)
	}
}

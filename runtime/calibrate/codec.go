package calibrate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"
)

// A file is the magic, the body and the SHA-256 of both. Integers are unsigned
// varints or little-endian words; names ascend. Equal sets have equal files.
const (
	magic   = "ONNXCAL\x01" // the last byte is the version
	maxFile = 1 << 28
	maxName = 1 << 16 // bytes in a name or hash
)

// WriteTo writes the set. Equal sets give equal bytes.
func (s *Set) WriteTo(w io.Writer) (int64, error) {
	if err := s.check(); err != nil {
		return 0, fmt.Errorf("write calibration: %w", err)
	}
	buf := s.append([]byte(magic))
	digest := sha256.Sum256(buf)
	n, err := w.Write(append(buf, digest[:]...))
	if err != nil {
		return int64(n), fmt.Errorf("write calibration: %w", err)
	}
	return int64(n), nil
}

// check returns an error if ReadFrom would refuse the set.
func (s *Set) check() error {
	if s.Total < 0 || s.Total > math.MaxInt32 {
		return fmt.Errorf("%d samples", s.Total)
	}
	for _, name := range slices.Concat([]string{s.Model, s.Data}, s.Names(), s.ChannelNames()) {
		if len(name) > maxName {
			return fmt.Errorf("name %.80q has %d bytes", name, len(name))
		}
	}
	return nil
}

// ReadFrom replaces the set by one that WriteTo wrote, reading r to its end.
// On error, the set stays as it was. Files over 256 MiB are refused, and
// memory is at most about 64 times what was read.
func (s *Set) ReadFrom(r io.Reader) (int64, error) {
	buf, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	n := int64(len(buf))
	if err != nil {
		return n, fmt.Errorf("read calibration: %w", err)
	}
	set, err := decode(buf)
	if err != nil {
		return n, fmt.Errorf("read calibration: %w", err)
	}
	*s = *set
	return n, nil
}

func decode(buf []byte) (*Set, error) {
	switch {
	case len(buf) > maxFile:
		return nil, errors.New("larger than 256 MiB")
	case len(buf) < len(magic) || string(buf[:len(magic)-1]) != magic[:len(magic)-1]:
		return nil, errors.New("not a calibration file")
	case buf[len(magic)-1] != magic[len(magic)-1]:
		return nil, fmt.Errorf("version %d, expected %d", buf[len(magic)-1], magic[len(magic)-1])
	case len(buf) < len(magic)+sha256.Size:
		return nil, errors.New("truncated")
	}
	body := buf[:len(buf)-sha256.Size]
	if digest := sha256.Sum256(body); !bytes.Equal(digest[:], buf[len(body):]) {
		return nil, errors.New("damaged or truncated: the checksum differs")
	}
	return decodeBody(body[len(magic):])
}

func (s *Set) append(buf []byte) []byte {
	buf = appendString(buf, s.Model)
	buf = appendString(buf, s.Data)
	buf = binary.AppendUvarint(buf, uint64(s.Total))
	buf = binary.AppendUvarint(buf, uint64(len(s.covered)))
	next := 0
	for _, c := range s.covered {
		buf = binary.AppendUvarint(buf, uint64(c.First-next))
		buf = binary.AppendUvarint(buf, uint64(c.End-c.First))
		next = c.End
	}
	buf = appendMap(buf, s.sketches, (*Sketch).append)
	return appendMap(buf, s.channels, (*Channels).append)
}

func decodeBody(body []byte) (*Set, error) {
	d := decoder{buf: body}
	s := &Set{Model: d.string(), Data: d.string()}
	total := d.uvarint()
	if total > math.MaxInt32 {
		d.fail("%d samples", total)
	}
	s.Total = int(total)
	next := uint64(0)
	for i := d.uvarint(); i > 0 && d.err == nil; i-- {
		gap, length := d.uvarint(), d.uvarint()
		if gap == 0 && len(s.covered) > 0 || length == 0 || gap > total-next || length > total-next-gap {
			d.fail("sample spans overlap or end beyond %d", total)
			break
		}
		s.covered = append(s.covered, Span{int(next + gap), int(next + gap + length)})
		next += gap + length
	}
	s.sketches = decodeMap(&d, (*decoder).sketch)
	s.channels = decodeMap(&d, (*decoder).channels)
	if len(d.buf) > 0 {
		d.fail("%d bytes too many", len(d.buf))
	}
	return s, d.err
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

func appendMap[T any](buf []byte, m map[string]*T, value func(*T, []byte) []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(m)))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		buf = value(m[name], appendString(buf, name))
	}
	return buf
}

func decodeMap[T any](d *decoder, value func(*decoder, *T)) map[string]*T {
	var m map[string]*T
	last := ""
	for i := d.uvarint(); i > 0 && d.err == nil; i-- {
		name := d.string()
		if len(m) > 0 && name <= last {
			d.fail("tensor names do not ascend")
		}
		value(d, entry(&m, name))
		d.within(name)
		last = name
	}
	return m
}

// append appends the canonical encoding of a sketch.
func (s *Sketch) append(buf []byte) []byte {
	for _, n := range [...]uint64{s.nan, s.posInf, s.negInf, s.observed} {
		buf = binary.AppendUvarint(buf, n)
	}
	if s.observed == 0 {
		return buf
	}
	buf = appendFloat(appendFloat(buf, s.min), s.max)
	for _, a := range [...]*sum{&s.sumMin, &s.sumMax} {
		for _, w := range a {
			buf = binary.LittleEndian.AppendUint64(buf, w)
		}
	}
	for k := slotZero; k < slotFirstKept; k++ {
		buf = binary.AppendUvarint(buf, s.blocks[k].total())
	}
	for sign := range s.kept {
		buf = append(buf, byte(s.kept[sign]))
		for octave := sign * signOctave; octave < (sign+1)*signOctave; octave++ {
			if k := s.slot[octave]; k >= slotFirstKept {
				buf = s.blocks[k].append(append(buf, byte(octave)))
			}
		}
	}
	return buf
}

func (d *decoder) sketch(s *Sketch) {
	s.nan, s.posInf, s.negInf, s.observed = d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	if s.observed == 0 {
		return
	}
	s.init()
	s.min, s.max = d.float(), d.float()
	for _, a := range [...]*sum{&s.sumMin, &s.sumMax} {
		for i := range a {
			a[i] = d.uint64()
		}
	}
	for k := slotZero; k < slotFirstKept; k++ {
		s.blocks[k][0] = d.uvarint()
	}
	for sign := range uint32(2) {
		last := byte(0)
		kept := int(d.byte())
		if kept > maxOctaves || kept < maxOctaves && s.blocks[slotTiny+sign][0] > 0 {
			d.fail("%d octaves", kept)
		}
		for i := 0; i < kept && d.err == nil; i++ {
			octave := d.byte()
			if octave <= last || octave == 255 {
				d.fail("octaves do not ascend")
				return
			}
			d.block(&s.blocks[s.open((sign*signOctave+uint32(octave))<<23)])
			last = octave
		}
	}
	if d.err == nil && !s.consistent() {
		d.fail("extremes and counts disagree")
	}
}

// consistent reports whether no bin lies beyond the extremes.
func (s *Sketch) consistent() bool {
	if s.observed > s.Counts().Finite || flush(s.min) != s.min || flush(s.max) != s.max {
		return false
	}
	bins := s.bins()
	lo, hi := float64(s.min), float64(s.max)
	return lo <= hi && lo <= bins[0].hi && bins[len(bins)-1].lo <= hi
}

// append appends a mask of the non-empty bins and their counts.
func (b *block) append(buf []byte) []byte {
	var mask uint64
	for i, n := range b {
		if n > 0 {
			mask |= 1 << i
		}
	}
	buf = binary.LittleEndian.AppendUint64(buf, mask)
	for _, n := range b {
		if n > 0 {
			buf = binary.AppendUvarint(buf, n)
		}
	}
	return buf
}

func (d *decoder) block(b *block) {
	mask := d.uint64()
	if mask == 0 {
		d.fail("empty octave")
	}
	for ; mask != 0 && d.err == nil; mask &= mask - 1 {
		n := d.uvarint()
		if n == 0 {
			d.fail("empty bin")
		}
		b[bits.TrailingZeros64(mask)] = n
	}
}

func (c *Channels) append(buf []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(c.extremes)))
	for _, e := range c.extremes {
		buf = appendFloat(appendFloat(buf, e.lo), e.hi)
	}
	return buf
}

func (d *decoder) channels(c *Channels) {
	n := d.uvarint()
	if n > uint64(len(d.buf)/8) {
		d.fail("truncated")
		return
	}
	if n > 0 {
		c.init(int(n))
	}
	for i := range c.extremes {
		e := extremes{d.float(), d.float()}
		finite := e.lo-e.lo == 0 && e.hi-e.hi == 0 && e.lo <= e.hi
		if e != c.extremes[i] && !(finite && flush(e.lo) == e.lo && flush(e.hi) == e.hi) {
			d.fail("channel %d from %v to %v", i, e.lo, e.hi)
			return
		}
		c.extremes[i] = e
	}
}

func appendFloat(buf []byte, v float32) []byte {
	return binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
}

// A decoder takes values off buf. After the first error all of them are zero.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
		d.buf = nil
	}
}

// within wraps an error with the name of the tensor in which it occurred.
func (d *decoder) within(tensor string) {
	if d.err != nil {
		d.err = fmt.Errorf("tensor %.80q: %w", tensor, d.err)
	}
}

// take returns the next n bytes, or zeros: n is 8 at most where it is not
// checked against what is left.
func (d *decoder) take(n int) []byte {
	if len(d.buf) < n {
		d.fail("truncated")
		return make([]byte, n)
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) byte() byte     { return d.take(1)[0] }
func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }
func (d *decoder) float() float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(d.take(4)))
}

// uvarint accepts the shortest form only.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 || n > 1 && d.buf[n-1] == 0 {
		d.fail("malformed integer")
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > maxName || n > uint64(len(d.buf)) {
		d.fail("name of %d bytes", n)
		return ""
	}
	return string(d.take(int(n)))
}

package calibrate

import (
	"encoding/binary"
	"math"
)

// append appends the canonical encoding of a sketch: equal contents give equal
// bytes, in whatever order they were seen.
func (s *Sketch) append(buf []byte) []byte {
	for _, n := range [...]uint64{s.nan, s.posInf, s.negInf, s.observed} {
		buf = binary.AppendUvarint(buf, n)
	}
	if s.observed == 0 {
		return buf
	}
	buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(s.min))
	buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(s.max))
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
				buf = append(buf, byte(octave))
				buf = s.blocks[k].append(buf)
			}
		}
	}
	return buf
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

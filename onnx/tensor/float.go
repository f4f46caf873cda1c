package tensor

import (
	"fmt"
	"math"
)

// minifloat describes a floating-point format of at most 16 bits: sign,
// exponent and mantissa widths, exponent bias, and its special values.
// Formats: IEEE 754 binary16; bfloat16; "FP8 Formats for Deep Learning"
// (arXiv 2209.05433) for E4M3FN and E5M2; the FNUZ variants of arXiv
// 2206.02915; OCP Microscaling v1.0 for E2M1, E2M3, E3M2 and E8M0.
type minifloat struct {
	exp, man int
	bias     int
	inf      bool   // has infinities, and NaN with a non-zero mantissa
	nan      uint16 // the canonical NaN
	noNaN    bool
	fnuz     bool // 0x80 is the only NaN; no negative zero
	maxCode  uint16
}

var minifloats = map[DType]*minifloat{
	Float16:        {exp: 5, man: 10, bias: 15, inf: true, nan: 0x7e00, maxCode: 0x7bff},
	BFloat16:       {exp: 8, man: 7, bias: 127, inf: true, nan: 0x7fc0, maxCode: 0x7f7f},
	Float8E4M3FN:   {exp: 4, man: 3, bias: 7, nan: 0x7f, maxCode: 0x7e},
	Float8E4M3FNUZ: {exp: 4, man: 3, bias: 8, nan: 0x80, fnuz: true, maxCode: 0x7f},
	Float8E5M2:     {exp: 5, man: 2, bias: 15, inf: true, nan: 0x7e, maxCode: 0x7b},
	Float8E5M2FNUZ: {exp: 5, man: 2, bias: 16, nan: 0x80, fnuz: true, maxCode: 0x7f},
	Float4E2M1:     {exp: 2, man: 1, bias: 1, noNaN: true, maxCode: 0x7},
	Float6E2M3:     {exp: 2, man: 3, bias: 1, noNaN: true, maxCode: 0x1f},
	Float6E3M2:     {exp: 3, man: 2, bias: 3, noNaN: true, maxCode: 0x1f},
}

func (m *minifloat) signBit() uint16 { return 1 << (m.exp + m.man) }

// decode is the value of a code. One with a normal exponent, not the largest,
// becomes a float64 by moving its bits.
func (m *minifloat) decode(code uint16) float64 {
	mag := uint64(code &^ m.signBit())
	if e := mag >> m.man; e == 0 || e >= 1<<m.exp-1 {
		return m.decodeAny(code)
	}
	sign := uint64(code>>(m.exp+m.man)) << 63
	return math.Float64frombits(sign | (mag+uint64(1023-m.bias)<<m.man)<<(52-m.man))
}

func (m *minifloat) decodeAny(code uint16) float64 {
	mag := code &^ m.signBit()
	if m.fnuz && code == m.nan || !m.fnuz && !m.inf && !m.noNaN && mag == m.nan {
		return math.NaN()
	}
	e, f := int(mag>>m.man), float64(mag&(1<<m.man-1))
	var v float64
	switch {
	case m.inf && e == 1<<m.exp-1 && f != 0:
		return math.NaN()
	case m.inf && e == 1<<m.exp-1:
		v = math.Inf(1)
	case e == 0:
		v = math.Ldexp(f, 1-m.bias-m.man)
	default:
		v = math.Ldexp(f+float64(int(1)<<m.man), e-m.bias-m.man)
	}
	if code&m.signBit() != 0 {
		return -v
	}
	return v
}

// encode rounds to nearest, ties to even. A magnitude beyond the largest
// finite value becomes that value when saturating, else infinity or NaN. What
// stays normal is rounded as an integer: the exponent takes the carry.
func (m *minifloat) encode(x float64, saturate bool) uint16 {
	b := math.Float64bits(x)
	mag, shift := b&^(1<<63), 52-m.man
	rounded := (mag + 1<<(shift-1) - 1 + mag>>shift&1) >> shift
	if code := rounded - uint64(1023-m.bias)<<m.man; mag >= uint64(1024-m.bias)<<52 && code <= uint64(m.maxCode) {
		return uint16(b>>63)<<(m.exp+m.man) | uint16(code)
	}
	return m.encodeAny(x, saturate)
}

func (m *minifloat) encodeAny(x float64, saturate bool) uint16 {
	if x != x {
		if m.noNaN {
			return 0
		}
		if !m.fnuz && math.Signbit(x) {
			return m.nan | m.signBit()
		}
		return m.nan
	}
	var sign uint16
	if math.Signbit(x) {
		sign, x = m.signBit(), -x
	}
	mag := m.maxCode + 1
	if !math.IsInf(x, 0) {
		mag = m.round(x)
	} else if m.inf && !saturate {
		return sign | m.maxCode + 1
	}
	if mag > m.maxCode {
		switch {
		case saturate || m.noNaN:
			mag = m.maxCode
		case m.inf:
			mag = m.maxCode + 1
		case m.fnuz:
			return m.nan
		default:
			return sign | m.nan
		}
	}
	if m.fnuz && mag == 0 {
		return 0
	}
	return sign | mag
}

// round is the code of the nearest magnitude, ties to even, which may be one
// past the largest finite code.
func (m *minifloat) round(x float64) uint16 {
	_, e := math.Frexp(x) // x = f * 2^e, f in [0.5, 1)
	e = max(e-1, 1-m.bias)
	q := math.RoundToEven(math.Ldexp(x, m.man-e)) // in units of the last place
	if q >= float64(int(1)<<(m.man+1)) {
		q, e = q/2, e+1
	}
	if e > 1<<m.exp {
		return m.maxCode + 1
	}
	u := uint32(q) // below 2^man: subnormal
	if u >= 1<<m.man {
		u += uint32(e+m.bias-1) << m.man
	}
	return uint16(min(u, uint32(m.maxCode)+1))
}

func decoder(d DType) func(uint16) float64 {
	if d == Float8E8M0 {
		return func(c uint16) float64 {
			if c == 0xff {
				return math.NaN()
			}
			return math.Ldexp(1, int(c)-127)
		}
	}
	m := minifloats[d]
	if m == nil {
		panic(fmt.Sprintf("tensor: %v is not a small float", d))
	}
	if d.Bits() <= 8 {
		var table [256]float64
		for c := range 1 << d.Bits() {
			table[c] = m.decode(uint16(c))
		}
		return func(c uint16) float64 { return table[c&0xff] }
	}
	return m.decode
}

func encoder(d DType, saturate bool) func(float64) uint16 {
	if d == Float8E8M0 {
		return func(x float64) uint16 { return EncodeE8M0(x, "nearest", saturate) }
	}
	m := minifloats[d]
	// binary16 and bfloat16 overflow to infinity in every ONNX operator.
	sat := saturate && d.Bits() <= 8
	return func(x float64) uint16 { return m.encode(x, sat) }
}

// EncodeFloats is FromFloats for a floating-point type with a choice of
// saturation, as the Cast and QuantizeLinear attribute saturate asks.
func EncodeFloats(d DType, shape []int, v []float64, saturate bool) *Tensor {
	if d.Bits() > 16 {
		return FromFloats(d, shape, v)
	}
	t := New(d, shape...)
	encode := encoder(d, saturate)
	t.setCodes(len(v), func(i int) uint16 { return encode(v[i]) })
	return t
}

// EncodeE8M0 is the exponent-only code of |x| with rounding "up", "down" or
// "nearest" (ties away from zero) in the exponent. NaN and, unless saturating,
// values out of range give 0xff.
func EncodeE8M0(x float64, mode string, saturate bool) uint16 {
	x = math.Abs(x)
	if x != x {
		return 0xff
	}
	if math.IsInf(x, 0) {
		if saturate {
			return 0xfe
		}
		return 0xff
	}
	if x == 0 {
		if saturate {
			return 0
		}
		return 0xff
	}
	f, e := math.Frexp(x)
	e-- // x = 2f * 2^e, 2f in [1, 2)
	if mode == "up" && 2*f > 1 || mode == "nearest" && 2*f >= 1.5 {
		e++
	}
	code := e + 127
	if code < 0 || code > 0xfe {
		if !saturate {
			return 0xff
		}
		code = min(max(code, 0), 0xfe)
	}
	return uint16(code)
}

// RoundFloats rounds v to the nearest value of a float type, in place.
func RoundFloats(d DType, v []float64) {
	switch {
	case d == Float64:
	case d == Float32:
		for i, x := range v {
			v[i] = float64(float32(x))
		}
	default:
		decode, encode := decoder(d), encoder(d, true)
		for i, x := range v {
			v[i] = decode(encode(x))
		}
	}
}

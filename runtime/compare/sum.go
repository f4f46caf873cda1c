package compare

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Sum adds finite float64s without rounding, so that their order does not
// matter: sums of parts add up to the sum of all, to the bit.
type Sum struct{ f big.Float }

// sumBits hold any sum of 2^64 float64s: exponents from -1074 to 1023.
const sumBits = 1074 + 1024 + 64

func (s *Sum) add(x *big.Float) {
	s.f.SetPrec(sumBits)
	s.f.Add(&s.f, x)
}

// Add adds x, which must be finite.
func (s *Sum) Add(x float64) { s.add(big.NewFloat(x)) }

// Merge adds another sum.
func (s *Sum) Merge(o *Sum) { s.add(&o.f) }

// Float64 is the sum, rounded once.
func (s *Sum) Float64() float64 {
	x, _ := s.f.Float64()
	return x
}

// MarshalText writes the sum exactly, in hexadecimal.
func (s Sum) MarshalText() ([]byte, error) { return s.f.Append(nil, 'p', 0), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Sum) UnmarshalText(b []byte) error {
	text := string(b)
	if len(b) > sumBits || text != "0" && !strings.HasPrefix(strings.TrimPrefix(text, "-"), "0x.") {
		return fmt.Errorf("%.40q is no sum", b)
	}
	f, _, err := big.ParseFloat(text, 0, sumBits, big.ToNearestEven)
	if err != nil || f.IsInf() || f.MantExp(nil) > 1024+64 || f.Sign() != 0 && f.MantExp(nil) < -1074 {
		return fmt.Errorf("%.40q is no sum", b)
	}
	s.f = *f
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

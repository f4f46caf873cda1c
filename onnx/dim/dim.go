// Package dim holds symbolic tensor sizes: polynomials with integer
// coefficients over named symbols and floor divisions, kept in a canonical
// form so that equal expressions that simplify alike compare equal.
package dim

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Dim is a size or, in partial shape data, any integer. The zero Dim is
// unknown. Dims are immutable.
type Dim struct {
	known bool
	n     int64 // the constant term
	terms []term
}

// term is coef times the product of its atoms, which are sorted.
type term struct {
	coef  int64
	atoms []*atom
	key   string // the atoms' keys joined by *
}

// atom is a symbol, or floor(num/den), min(num,den), max(num,den).
type atom struct {
	key      string
	op       string // "" for a symbol, else "floor", "min", "max"
	num, den Dim
	empty    bool // a symbol that may be 0
}

// maxTerms bounds the growth of products; larger expressions become unknown.
const maxTerms = 16

// Unknown is a size that nothing is known of.
var Unknown Dim

// Of is the constant n.
func Of(n int64) Dim { return Dim{known: true, n: n} }

// Sym is a named symbol. An empty name is unknown.
func Sym(name string) Dim {
	if name == "" {
		return Dim{}
	}
	return fromAtom(&atom{key: name})
}

// Fresh is a symbol for a size that depends on data: unlike the sizes of
// inputs it may be 0.
func Fresh(name string) Dim { return fromAtom(&atom{key: name, empty: true}) }

func fromAtom(a *atom) Dim {
	return Dim{known: true, terms: []term{{1, []*atom{a}, a.key}}}
}

// Known reports whether d is an expression, constant or symbolic.
func (d Dim) Known() bool { return d.known }

// Const is the value of a constant d.
func (d Dim) Const() (int64, bool) { return d.n, d.known && len(d.terms) == 0 }

// Is reports that d is the constant n.
func (d Dim) Is(n int64) bool { return d.known && len(d.terms) == 0 && d.n == n }

// Equal reports that both are known and the same expression.
func (d Dim) Equal(o Dim) bool {
	return d.known && o.known && d.n == o.n && slices.EqualFunc(d.terms, o.terms, func(a, b term) bool {
		return a.coef == b.coef && a.key == b.key
	})
}

// Conflict reports that both are constants and differ: the sizes cannot agree
// at run time.
func (d Dim) Conflict(o Dim) bool {
	a, ok := d.Const()
	b, ok2 := o.Const()
	return ok && ok2 && a != b
}

// Add is d + o.
func (d Dim) Add(o Dim) Dim {
	if !d.known || !o.known {
		return Dim{}
	}
	n, ok := addInt(d.n, o.n)
	if !ok {
		return Dim{}
	}
	return canonical(n, append(slices.Clone(d.terms), o.terms...))
}

// Sub is d - o.
func (d Dim) Sub(o Dim) Dim { return d.Add(o.Mul(Of(-1))) }

// Mul is d * o. Zero times unknown is zero.
func (d Dim) Mul(o Dim) Dim {
	if d.Is(0) || o.Is(0) {
		return Of(0)
	}
	if !d.known || !o.known {
		return Dim{}
	}
	if (len(d.terms)+1)*(len(o.terms)+1) > maxTerms*maxTerms {
		return Dim{}
	}
	n, ok := mulInt(d.n, o.n)
	var out []term
	scale := func(ts []term, c int64) {
		for _, t := range ts {
			k, fine := mulInt(t.coef, c)
			ok = ok && fine
			out = append(out, term{k, t.atoms, t.key})
		}
	}
	scale(d.terms, o.n)
	scale(o.terms, d.n)
	for _, a := range d.terms {
		for _, b := range o.terms {
			k, fine := mulInt(a.coef, b.coef)
			ok = ok && fine
			atoms := append(slices.Clone(a.atoms), b.atoms...)
			slices.SortFunc(atoms, func(x, y *atom) int { return cmp.Compare(x.key, y.key) })
			out = append(out, term{k, atoms, keyOf(atoms)})
		}
	}
	if !ok {
		return Dim{}
	}
	return canonical(n, out)
}

// FloorDiv is floor(d / o). Terms that o divides are divided exactly; the rest
// stays a floor division. Division by zero is unknown.
func (d Dim) FloorDiv(o Dim) Dim {
	if !d.known || !o.known || o.Is(0) {
		return Dim{}
	}
	if o.Is(1) {
		return d
	}
	if d.Equal(o) {
		return Of(1)
	}
	k, constant := o.Const()
	if !constant {
		if q, ok := d.divideTerms(o); ok {
			return q
		}
		return fromAtom(&atom{key: "floor(" + d.String() + "/" + paren(o) + ")", op: "floor", num: d, den: o})
	}
	// floor((k*q + r)/k) = q + floor(r/k) for any integer q.
	whole, rest := Dim{known: true, n: floorDiv(d.n, k)}, Dim{known: true, n: d.n - floorDiv(d.n, k)*k}
	for _, t := range d.terms {
		if t.coef%k == 0 {
			whole.terms = append(whole.terms, term{t.coef / k, t.atoms, t.key})
		} else {
			rest.terms = append(rest.terms, t)
		}
	}
	if len(rest.terms) == 0 {
		return whole
	}
	// floor(floor(a/b)/c) = floor(a/(b*c)) for positive b, c.
	if len(rest.terms) == 1 && rest.n == 0 && len(whole.terms) == 0 && whole.n == 0 && k > 0 {
		if t := rest.terms[0]; t.coef == 1 && len(t.atoms) == 1 && t.atoms[0].op == "floor" {
			if b, ok := t.atoms[0].den.Const(); ok && b > 0 {
				return t.atoms[0].num.FloorDiv(o.Mul(Of(b)))
			}
		}
	}
	return whole.Add(fromAtom(&atom{key: "floor(" + paren(rest) + "/" + paren(o) + ")", op: "floor", num: rest, den: o}))
}

// divideTerms is the exact quotient by a single symbolic term.
func (d Dim) divideTerms(o Dim) (Dim, bool) {
	if d.Is(0) {
		return d, true
	}
	if o.n != 0 || len(o.terms) != 1 || d.n != 0 {
		return Dim{}, false
	}
	by, q := o.terms[0], Of(0)
	for _, t := range d.terms {
		if t.coef%by.coef != 0 {
			return Dim{}, false
		}
		rest := slices.Clone(t.atoms)
		for _, a := range by.atoms {
			i := slices.IndexFunc(rest, func(x *atom) bool { return x.key == a.key })
			if i < 0 {
				return Dim{}, false
			}
			rest = slices.Delete(rest, i, i+1)
		}
		part := Of(t.coef / by.coef)
		if len(rest) > 0 {
			part = Dim{known: true, terms: []term{{t.coef / by.coef, rest, keyOf(rest)}}}
		}
		q = q.Add(part)
	}
	return q, true
}

// CeilDiv is ceil(d / o) for a positive o.
func (d Dim) CeilDiv(o Dim) Dim { return d.Add(o).Sub(Of(1)).FloorDiv(o) }

// Mod is d - o*floor(d/o).
func (d Dim) Mod(o Dim) Dim { return d.Sub(o.Mul(d.FloorDiv(o))) }

// Min is the smaller of both.
func (d Dim) Min(o Dim) Dim { return d.pick(o, "min") }

// Max is the larger of both.
func (d Dim) Max(o Dim) Dim { return d.pick(o, "max") }

func (d Dim) pick(o Dim, op string) Dim {
	if !d.known || !o.known {
		return Dim{}
	}
	if diff, ok := d.Sub(o).Const(); ok {
		if diff < 0 == (op == "min") {
			return d
		}
		return o
	}
	if o.String() < d.String() {
		d, o = o, d
	}
	return fromAtom(&atom{key: op + "(" + d.String() + "," + o.String() + ")", op: op, num: d, den: o})
}

// NeverOne reports that d is not 1 whatever integers its symbols are: all
// coefficients have a common divisor that d-1 has not.
func (d Dim) NeverOne() bool {
	if !d.known {
		return false
	}
	g := int64(0)
	for _, t := range d.terms {
		for a, b := g, t.coef; ; a, b = b, a%b {
			if b == 0 {
				g = max(a, -a)
				break
			}
		}
	}
	if g == 0 {
		return d.n != 1
	}
	return (d.n-1)%g != 0
}

// soleAtom is the atom that d consists of, nil if d is anything else.
func (d Dim) soleAtom() *atom {
	if d.n == 0 && len(d.terms) == 1 && d.terms[0].coef == 1 && len(d.terms[0].atoms) == 1 {
		return d.terms[0].atoms[0]
	}
	return nil
}

// CappedBelow reports that d is min(o, n) for a constant n other than 1: where
// d and o are sizes that must broadcast, o is the result, as n would fit no
// larger o.
func (d Dim) CappedBelow(o Dim) bool {
	a := d.soleAtom()
	if a == nil || a.op != "min" {
		return false
	}
	n, ok := a.den.Const()
	m, ok2 := a.num.Const()
	return ok && n != 1 && a.num.Equal(o) || ok2 && m != 1 && a.den.Equal(o)
}

// Symbols adds the names of d's symbols to set.
func (d Dim) Symbols(set map[string]bool) {
	for _, t := range d.terms {
		for _, a := range t.atoms {
			if a.op == "" {
				set[a.key] = true
			}
			a.num.Symbols(set)
			a.den.Symbols(set)
		}
	}
}

// Substitute replaces symbols; those not in values stay.
func (d Dim) Substitute(values map[string]Dim) Dim {
	if !d.known || len(d.terms) == 0 {
		return d
	}
	out := Of(d.n)
	for _, t := range d.terms {
		p := Of(t.coef)
		for _, a := range t.atoms {
			p = p.Mul(a.substitute(values))
		}
		out = out.Add(p)
	}
	return out
}

func (a *atom) substitute(values map[string]Dim) Dim {
	if a.op == "" {
		if v, ok := values[a.key]; ok {
			return v
		}
		return fromAtom(a)
	}
	n, m := a.num.Substitute(values), a.den.Substitute(values)
	if a.op == "floor" {
		return n.FloorDiv(m)
	}
	return n.pick(m, a.op)
}

// Eval is the value of d when every symbol has one.
func (d Dim) Eval(values map[string]int64) (int64, bool) {
	sub := make(map[string]Dim, len(values))
	for k, v := range values {
		sub[k] = Of(v)
	}
	return d.Substitute(sub).Const()
}

// Positive reports that d is at least 1 whatever positive sizes its symbols
// have, or sizes of 0 if they are fresh.
func (d Dim) Positive() bool {
	n, ok := d.least()
	return ok && n >= 1
}

// NonNegative is Positive for at least 0.
func (d Dim) NonNegative() bool {
	n, ok := d.least()
	return ok && n >= 0
}

// least is a lower bound of d, if there is one.
func (d Dim) least() (int64, bool) {
	sum, ok := d.n, d.known
	for _, t := range d.terms {
		p := t.coef
		for _, a := range t.atoms {
			n, bounded := a.least()
			ok = ok && bounded && n >= 0
			if ok {
				p, ok = mulInt(p, n)
			}
		}
		if t.coef < 0 || !ok {
			return 0, false
		}
		sum, ok = addInt(sum, p)
	}
	return sum, ok
}

func (a *atom) least() (int64, bool) {
	if a.op == "" {
		if a.empty {
			return 0, true
		}
		return 1, true
	}
	n, ok := a.num.least()
	m, ok2 := a.den.least()
	switch {
	case a.op == "min":
		return min(n, m), ok && ok2
	case a.op == "max" && ok && ok2:
		return max(n, m), true
	case a.op == "max" && ok:
		return n, true
	case a.op == "max":
		return m, ok2
	}
	if k, constant := a.den.Const(); constant && k > 0 {
		return floorDiv(n, k), ok
	}
	return 0, ok && n >= 0 && ok2 && m >= 1
}

func canonical(n int64, ts []term) Dim {
	sum := make(map[string]term, len(ts))
	for _, t := range ts {
		if s, ok := sum[t.key]; ok {
			c, fine := addInt(s.coef, t.coef)
			if !fine {
				return Dim{}
			}
			t.coef = c
		}
		sum[t.key] = t
	}
	out := Dim{known: true, n: n}
	for _, k := range slices.Sorted(maps.Keys(sum)) {
		if t := sum[k]; t.coef != 0 {
			out.terms = append(out.terms, t)
		}
	}
	if len(out.terms) > maxTerms {
		return Dim{}
	}
	return out
}

func keyOf(atoms []*atom) string {
	keys := make([]string, len(atoms))
	for i, a := range atoms {
		keys[i] = a.key
	}
	return strings.Join(keys, "*")
}

// String is the expression as a dim_param can carry it; "?" when unknown.
func (d Dim) String() string {
	if !d.known {
		return "?"
	}
	var b strings.Builder
	for i, t := range d.terms {
		switch {
		case t.coef < 0:
			b.WriteByte('-')
		case i > 0:
			b.WriteByte('+')
		}
		if c := max(t.coef, -t.coef); c != 1 {
			b.WriteString(strconv.FormatInt(c, 10))
			b.WriteByte('*')
		}
		b.WriteString(t.key)
	}
	if d.n != 0 || len(d.terms) == 0 {
		if d.n >= 0 && len(d.terms) > 0 {
			b.WriteByte('+')
		}
		b.WriteString(strconv.FormatInt(d.n, 10))
	}
	return b.String()
}

func paren(d Dim) string {
	if len(d.terms)+min(1, int(max(d.n, -d.n))) > 1 || len(d.terms) == 1 && d.terms[0].coef != 1 {
		return "(" + d.String() + ")"
	}
	return d.String()
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func addInt(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0)
}

func mulInt(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	return p, p/b == a && !(a == -1 && b == -1<<63) && !(b == -1 && a == -1<<63)
}

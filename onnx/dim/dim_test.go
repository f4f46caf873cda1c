package dim

import "testing"

func TestArithmetic(t *testing.T) {
	n, m := Sym("N"), Sym("M")
	for _, c := range []struct {
		got  Dim
		want string
	}{
		{n.Add(Of(1)).Sub(n), "1"},
		{n.Mul(Of(4)).FloorDiv(Of(2)), "2*N"},
		{n.Mul(Of(2)).Add(Of(1)).FloorDiv(Of(2)), "N"},
		{n.Add(Of(1)).FloorDiv(Of(2)), "floor((N+1)/2)"},
		{n.Add(Of(3)).FloorDiv(Of(2)), "floor((N+1)/2)+1"},
		{n.FloorDiv(Of(2)).FloorDiv(Of(2)), "floor(N/4)"},
		{n.Mul(m).FloorDiv(n), "M"},
		{n.Mul(m).Mul(Of(6)).FloorDiv(m.Mul(Of(3))), "2*N"},
		{n.Sub(n), "0"},
		{n.Max(n.Add(Of(1))), "N+1"},
		{n.Min(m), "min(M,N)"},
		{n.Mul(Of(2)).Mod(Of(2)), "0"},
		{Unknown.Add(n), "?"},
		{Unknown.Mul(Of(0)), "0"},
		{Of(7).FloorDiv(Of(-2)), "-4"},
	} {
		if c.got.String() != c.want {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
		if c.got.Known() && !Parse(c.got.String()).Equal(c.got) {
			t.Errorf("%v does not parse to itself: %v", c.got, Parse(c.got.String()))
		}
	}
}

func TestEvalFollowsStructure(t *testing.T) {
	d := Sym("N").Add(Of(2)).FloorDiv(Of(3)).Mul(Sym("M")).Add(Sym("N").Max(Sym("M")))
	v, ok := d.Eval(map[string]int64{"N": 7, "M": 5})
	if !ok || v != 3*5+7 {
		t.Errorf("%v at N=7 M=5: %d %v", d, v, ok)
	}
}

func TestParseNames(t *testing.T) {
	for _, s := range []string{"batch size", "a+", "unk__1", "foo(bar)", "3x", "N*"} {
		if d := Parse(s); !d.Known() || d.String() != s {
			t.Errorf("%q became %v", s, d)
		}
	}
}

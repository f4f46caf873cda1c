package compare

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"onnxopt/runtime/calibrate"
)

func encodeTally(t *testing.T, x *Tally) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := x.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// evaluate is the tally of shard i of n, written and read again.
func evaluate(t *testing.T, src table, labels []int, i, n, batch int) *Tally {
	t.Helper()
	span, err := calibrate.Shard(i, n, len(src))
	if err != nil {
		t.Fatal(err)
	}
	x, err := Evaluate(context.Background(), model(t, scaled, "1,1,1"), model(t, scaled, "1,-1,0.5"), src, span, Options{Labels: labels, Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	var back Tally
	if _, err := back.ReadFrom(bytes.NewReader(encodeTally(t, x))); err != nil {
		t.Fatal(err)
	}
	return &back
}

func TestTalliesMergeToTheSameBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	src, labels := make(table, 500), make([]int, 500)
	for i := range src {
		for k := range src[i] {
			src[i][k] = float32(math.Exp(20*r.NormFloat64()) * r.NormFloat64()) // sums that rounding would spoil
		}
		labels[i] = r.IntN(3)
	}
	for _, labels := range [][]int{nil, labels} {
		whole := evaluate(t, src, labels, 1, 1, 50)
		if len(whole.Flips) != maxFlips || len(whole.Confusion[0]) < 4 {
			t.Errorf("%d flips, %d pairs of classes", len(whole.Flips), len(whole.Confusion[0]))
		}
		want := encodeTally(t, whole)
		for _, n := range []int{1, 2, 7, 64, 600} {
			var all *Tally
			for _, i := range r.Perm(n) {
				part := evaluate(t, src, labels, i+1, n, 1+n%9)
				if all == nil {
					all = part
				} else if err := all.Merge(part); err != nil {
					t.Fatal(err)
				}
			}
			if got := encodeTally(t, all); !bytes.Equal(got, want) {
				t.Errorf("%d shards differ:\n%.300s\n%.300s", n, got, want)
			}
		}
		run, err := Run(context.Background(), model(t, scaled, "1,1,1"), model(t, scaled, "1,-1,0.5"), src, Options{Labels: labels, Latency: -1})
		if err != nil {
			t.Fatal(err)
		}
		if got := whole.Result(); got.Agreement != run.Agreement || got.Outputs[0] != run.Outputs[0] || labels != nil && *got.Top1 != *run.Top1 {
			t.Errorf("result %+v, of a run %+v", got, run)
		}
	}
}

func TestTallyRefuses(t *testing.T) {
	a, b := evaluate(t, rows3, nil, 1, 2, 1), evaluate(t, rows3, nil, 2, 2, 1)
	before := encodeTally(t, a)
	other := evaluate(t, rows3, nil, 2, 2, 1)
	other.Models[1] = "x"
	for _, c := range []struct {
		part *Tally
		want string
	}{
		{a, "samples 0 to 1 are counted twice"},
		{other, "other models"},
		{evaluate(t, rows3[:3], nil, 2, 2, 1), "a part of 3 samples is not one of 4"},
		{evaluate(t, rows3, []int{0, 0, 0, 0}, 2, 2, 1), "data"},
	} {
		if err := a.Merge(c.part); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
	if !bytes.Equal(encodeTally(t, a), before) {
		t.Error("a refused part changed the tally")
	}
	if err := a.Complete(); err == nil || !strings.Contains(err.Error(), "samples 2 to 3 of 4 are missing") {
		t.Errorf("missing: %v", err)
	}
	if err := a.Merge(b); err != nil || a.Complete() != nil {
		t.Error(err, a.Complete())
	}
	for _, damage := range []string{"", "{}", string(before[:len(before)/2]), strings.Replace(string(before), "[[0,2]]", "[[0,9]]", 1),
		strings.Replace(string(before), `"noise":"0x.`, `"noise":"0x1p999999999", "x":"`, 1)} {
		if _, err := new(Tally).ReadFrom(strings.NewReader(damage)); err == nil {
			t.Errorf("%.40s is accepted", damage)
		}
	}
}

// Values that are NaN or the same infinity in both models are equal; in one only,
// they spoil the output.
func TestTallyOfInfinities(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	var same, other OutputTally
	same.add([]float32{inf, nan, 1}, []float32{inf, nan, 1})
	other.add([]float32{inf, 1, 2}, []float32{-inf, nan, 2})
	if x := same.tensor(); x.SQNR != noNoise || x.NonFinite != 0 {
		t.Errorf("equal: %+v", x)
	}
	if x := other.tensor(); x.SQNR != -noNoise || x.NonFinite != 2 {
		t.Errorf("unequal: %+v", x)
	}
}

// Whatever reads as a tally is written and read again as the same, and has a
// result.
func FuzzTally(f *testing.F) {
	src := rows3
	x, err := Evaluate(context.Background(), model(f, scaled, "1,1,1"), model(f, scaled, "1,-1,0.5"), src, calibrate.Span{First: 1, End: 4}, Options{Labels: []int{0, 1, 2, 0}})
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := x.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"format":"onnxopt evaluation 1","total":3,"covered":[[0,2]],"outputs":[{"name":"y","signal":"0x.8p+1"}]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		var a, b Tally
		if _, err := a.ReadFrom(bytes.NewReader(file)); err != nil {
			return
		}
		first := encodeTally(t, &a)
		if _, err := b.ReadFrom(bytes.NewReader(first)); err != nil {
			t.Fatalf("what was written does not read: %v", err)
		}
		if !bytes.Equal(encodeTally(t, &b), first) {
			t.Error("written otherwise the second time")
		}
		a.Result()
		if err := a.Merge(&b); err == nil && len(b.Covered()) > 0 {
			t.Error("the same samples merge twice")
		}
	})
}

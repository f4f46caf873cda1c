package calibrate

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"onnxopt/runtime/kernel"
)

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// tensors are value distributions that activations have, and some that try the
// sketch.
var tensors = map[string]func(*rand.Rand) float64{
	"normal":   func(r *rand.Rand) float64 { return r.NormFloat64() },
	"shifted":  func(r *rand.Rand) float64 { return 3 + r.NormFloat64() },
	"relu":     func(r *rand.Rand) float64 { return max(0, r.NormFloat64()) },
	"relu6":    func(r *rand.Rand) float64 { return min(6, max(0, 4*r.NormFloat64())) },
	"swish":    func(r *rand.Rand) float64 { x := 2 * r.NormFloat64(); return x / (1 + math.Exp(-x)) },
	"laplace":  func(r *rand.Rand) float64 { return r.ExpFloat64() * float64(2*r.IntN(2)-1) },
	"outliers": func(r *rand.Rand) float64 { return r.NormFloat64() * math.Exp(3*max(0, r.NormFloat64()-3)) },
	"uniform":  func(r *rand.Rand) float64 { return r.Float64()*2 - 0.5 },
	"negative": func(r *rand.Rand) float64 { return -r.ExpFloat64() },
	"small":    func(r *rand.Rand) float64 { return 1e-20 * r.NormFloat64() },
}

// wide draws any float32: all exponents, subnormals, zeros, NaN, infinities.
func wide(r *rand.Rand) float64 {
	switch r.IntN(8) {
	case 0:
		return float64(math.Float32frombits(uint32(r.IntN(2))<<31 | uint32(r.IntN(3))))
	case 1:
		return r.NormFloat64()
	}
	return float64(math.Float32frombits(r.Uint32()))
}

func draw(r *rand.Rand, n int, f func(*rand.Rand) float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(f(r))
	}
	return x
}

func sketchOf(x []float32) *Sketch {
	var s Sketch
	s.Add(x)
	return &s
}

func TestMergeIsExact(t *testing.T) {
	all := map[string]func(*rand.Rand) float64{"wide": wide}
	for name, f := range tensors {
		all[name] = f
	}
	for name, f := range all {
		t.Run(name, func(t *testing.T) {
			r := random(7)
			samples := make([][]float32, 60)
			var whole Sketch
			for i := range samples {
				samples[i] = draw(r, r.IntN(300), f)
				whole.Add(samples[i])
			}
			want := whole.append(nil)
			for range 20 {
				shards := make([]Sketch, 1+r.IntN(8))
				for _, i := range r.Perm(len(samples)) {
					shards[r.IntN(len(shards))].Add(samples[i])
				}
				for len(shards) > 1 { // a random tree of merges
					i := 1 + r.IntN(len(shards)-1)
					shards[0].Merge(&shards[i])
					shards = slices.Delete(shards, i, i+1)
					r.Shuffle(len(shards), func(i, j int) { shards[i], shards[j] = shards[j], shards[i] })
				}
				if got := shards[0].append(nil); !slices.Equal(got, want) {
					t.Fatalf("merged shards differ from one run")
				}
			}
		})
	}
}

func TestMergeWithEmptyAndSelf(t *testing.T) {
	x := draw(random(1), 1000, wide)
	s, twice := sketchOf(x), sketchOf(x)
	want := s.append(nil)
	s.Merge(&Sketch{})
	if !slices.Equal(s.append(nil), want) {
		t.Error("merging an empty sketch changed it")
	}
	var empty Sketch
	empty.Merge(s)
	if !slices.Equal(empty.append(nil), want) {
		t.Error("merging into an empty sketch is not a copy")
	}
	twice.Add(x)
	s.Merge(s)
	if !slices.Equal(s.append(nil), twice.append(nil)) {
		t.Error("merging with itself is not seeing everything twice")
	}
}

func TestCountsAndExtremes(t *testing.T) {
	inf := float32(math.Inf(1))
	nan := float32(math.NaN())
	negZero := float32(math.Copysign(0, -1))
	tests := []struct {
		x      []float32
		want   Counts
		lo, hi float32
	}{
		{nil, Counts{}, 0, 0},
		{[]float32{nan, inf, -inf, -inf}, Counts{NaN: 1, PosInf: 1, NegInf: 2}, 0, 0},
		{[]float32{inf}, Counts{PosInf: 1}, 0, 0},
		{[]float32{negZero, 0, 1e-40}, Counts{Finite: 3, Zero: 3, Samples: 1}, 0, 0},
		{[]float32{negZero}, Counts{Finite: 1, Zero: 1, Samples: 1}, 0, 0},
		{[]float32{-inf, 3, nan, -2}, Counts{Finite: 2, NaN: 1, NegInf: 1, Samples: 1}, -2, 3},
		{[]float32{math.MaxFloat32, -math.MaxFloat32}, Counts{Finite: 2, Samples: 1}, -math.MaxFloat32, math.MaxFloat32},
	}
	for _, test := range tests {
		s := sketchOf(test.x)
		lo, hi, ok := s.MinMax()
		if got := s.Counts(); got != test.want || lo != test.lo || hi != test.hi || ok != (test.want.Finite > 0) {
			t.Errorf("%v: %+v, %v to %v (%v); want %+v, %v to %v", test.x, got, lo, hi, ok, test.want, test.lo, test.hi)
		}
		if math.Signbit(float64(lo)) && lo == 0 {
			t.Errorf("%v: least value is -0", test.x)
		}
	}
}

// Every finite value is in exactly one bin, which contains it.
func TestBinsContainValues(t *testing.T) {
	r := random(3)
	for range 50 {
		x := draw(r, 1+r.IntN(100), wide)
		s := sketchOf(x)
		d := s.distribution(math.Inf(1))
		want := make([]float64, len(d.bins))
		for _, v := range x {
			v := float64(v)
			if v-v != 0 {
				continue
			}
			if math.Abs(v) < 0x1p-126 {
				v = 0
			}
			i := slices.IndexFunc(d.bins, func(b bin) bool {
				if v == 0 || b.lo == b.hi {
					return b.lo <= v && v <= b.hi && b.lo == b.hi
				}
				if v < 0 {
					return b.lo < v && v <= b.hi || v == d.min && v == b.lo
				}
				return b.lo <= v && v < b.hi || v == d.max && v == b.hi
			})
			if i < 0 {
				t.Fatalf("%v is in no bin of %v", v, d.bins)
			}
			want[i]++
		}
		for i, b := range d.bins {
			if b.n != want[i] {
				t.Fatalf("bin %v holds %v values", b, want[i])
			}
			if i > 0 && d.bins[i-1].hi > b.lo {
				t.Fatalf("bins %v and %v overlap", d.bins[i-1], b)
			}
		}
	}
}

func TestSumIsExact(t *testing.T) {
	r := random(5)
	for range 100 {
		var a sum
		want := new(big.Float).SetPrec(2000)
		for range 1 + r.IntN(100) {
			v := float32(wide(r))
			if v-v != 0 {
				continue
			}
			a.add(v)
			want.Add(want, new(big.Float).SetFloat64(float64(v)))
		}
		w, _ := want.Float64()
		if got := a.float64(); math.Abs(got-w) > 1e-15*math.Abs(w) {
			t.Fatalf("sum %v, want %v", got, w)
		}
	}
}

func TestPercentileAgainstSorting(t *testing.T) {
	for name, f := range tensors {
		t.Run(name, func(t *testing.T) {
			x := draw(random(11), 50_000, f)
			s := sketchOf(x)
			slices.Sort(x)
			for _, p := range []float64{0, 0.01, 1, 5, 25, 50, 75, 90, 99, 99.9, 99.99, 100} {
				rank := p / 100 * float64(len(x)-1)
				below, above := x[int(rank)], x[int(math.Ceil(rank))]
				lo := float64(below) - math.Abs(float64(below))/binsPerOctave
				hi := float64(above) + math.Abs(float64(above))/binsPerOctave
				tiny := max(math.Abs(float64(x[0])), math.Abs(float64(x[len(x)-1]))) / (1 << (maxOctaves - 1))
				if got := s.Percentile(p); got < lo-tiny || got > hi+tiny {
					t.Errorf("percentile %v: %v is not within %v to %v", p, got, lo, hi)
				}
			}
		})
	}
}

func TestMoments(t *testing.T) {
	for name, f := range tensors {
		x := draw(random(13), 20_000, f)
		var mean, square float64
		for _, v := range x {
			mean += float64(v) / float64(len(x))
			square += float64(v) * float64(v) / float64(len(x))
		}
		deviation := math.Sqrt(square - mean*mean)
		m, d := sketchOf(x).Moments()
		if math.Abs(m-mean) > 2e-3*deviation || math.Abs(d-deviation) > 2e-3*deviation {
			t.Errorf("%s: mean %v deviation %v, want %v %v", name, m, d, mean, deviation)
		}
	}
}

func TestHistogram(t *testing.T) {
	x := draw(random(17), 100_000, tensors["normal"])
	got := sketchOf(x).Histogram(-2, 2, 20)
	want := make([]float64, 20)
	for _, v := range x {
		if v >= -2 && v < 2 {
			want[int((v+2)*5)]++
		}
	}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 0.03*want[i] {
			t.Errorf("bin %d: %v, want %v", i, got[i], want[i])
		}
	}
}

// Of many values, some are counted: the extremes are exact, quantiles and ranges
// about those of all, whatever stride the tensor's channels have.
func TestAddSome(t *testing.T) {
	const channels, n = 96, 4096
	for name, sample := range tensors {
		for _, pixels := range []int{60, 1000, 4801} {
			x := draw(random(5), channels*pixels, sample)
			for i := range x {
				x[i] *= float32(i%channels+1) / channels // channels last, each of its own range
			}
			var some, all Sketch
			some.AddSome(x, n)
			all.Add(x)
			lo, hi, _ := some.MinMax()
			wantLo, wantHi, _ := all.MinMax()
			if lo != wantLo || hi != wantHi {
				t.Errorf("%s: extremes %v %v, want %v %v", name, lo, hi, wantLo, wantHi)
			}
			if r, err := some.Range(Options{Format: Format{Bits: 8}}); err != nil || r.Min > lo || r.Max < hi {
				t.Errorf("%s: min-max range %v does not cover %v to %v", name, r, lo, hi)
			}
			if c := some.Counts(); c.Finite != min(n, uint64(len(x))) && all.Counts().NaN+all.Counts().PosInf+all.Counts().NegInf == 0 {
				t.Errorf("%s: %d of %d values counted", name, c.Finite, len(x))
			}
			spread := all.Percentile(95) - all.Percentile(5)
			for _, p := range []float64{5, 25, 50, 75, 95} {
				if d := math.Abs(some.Percentile(p) - all.Percentile(p)); d > 0.1*spread {
					t.Errorf("%s, %d pixels: percentile %v is %v, want %v", name, pixels, p, some.Percentile(p), all.Percentile(p))
				}
			}
			var buf bytes.Buffer
			set := NewSet("m", "d", 1)
			set.Sketch("x").Merge(&some)
			if _, err := set.WriteTo(&buf); err != nil {
				t.Fatal(err)
			}
			if _, err := new(Set).ReadFrom(&buf); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, name := range []string{"normal", "relu"} {
		for _, n := range []int{16, 1 << 18} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				x := draw(random(1), n, tensors[name])
				var s Sketch
				b.SetBytes(int64(4 * n))
				for b.Loop() {
					s.Add(x)
				}
			})
		}
	}
}

// BenchmarkMinMax is the time that the extremes alone take.
func BenchmarkMinMax(b *testing.B) {
	x := draw(random(1), 1<<18, tensors["normal"])
	b.SetBytes(4 << 18)
	for b.Loop() {
		kernel.Extremes(x)
	}
}

// BenchmarkAddSome is the time of counting 2^14 of 2^18 values.
func BenchmarkAddSome(b *testing.B) {
	x := draw(random(1), 1<<18, tensors["relu"])
	var s Sketch
	b.SetBytes(4 << 18)
	for b.Loop() {
		s.AddSome(x, 1<<14)
	}
}

func BenchmarkChoose(b *testing.B) {
	s := sketchOf(draw(random(1), 1<<20, tensors["laplace"]))
	for m := MinMax; m <= Auto; m++ {
		for _, symmetric := range []bool{true, false} {
			b.Run(fmt.Sprintf("%v/symmetric=%v", m, symmetric), func(b *testing.B) {
				for b.Loop() {
					s.Choose(Options{Method: m, Format: Format{Bits: 8, Symmetric: symmetric}})
				}
			})
		}
	}
}

package calibrate

import (
	"math"
	"slices"
	"testing"
)

var (
	int8Symmetric   = Format{Bits: 8, Signed: true, Symmetric: true}
	uint8Asymmetric = Format{Bits: 8}
	formats         = map[string]Format{
		"int8 symmetric":   int8Symmetric,
		"uint8":            uint8Asymmetric,
		"uint8 symmetric":  {Bits: 8, Symmetric: true},
		"int8 reduced":     {Bits: 8, Signed: true, Symmetric: true, ReduceRange: true},
		"uint8 reduced":    {Bits: 8, ReduceRange: true},
		"int16 symmetric":  {Bits: 16, Signed: true, Symmetric: true},
		"uint16":           {Bits: 16},
		"int4 symmetric":   {Bits: 4, Signed: true, Symmetric: true},
		"uint4":            {Bits: 4},
		"int8 asymmetric":  {Bits: 8, Signed: true},
		"int2 symmetric":   {Bits: 2, Signed: true, Symmetric: true},
		"uint2 asymmetric": {Bits: 2},
	}
)

// exactError quantizes every value as the ONNX specification of QuantizeLinear
// and DequantizeLinear says, in float64.
func exactError(x []float32, f Format, scale float32, zeroPoint int) float64 {
	qlo, qhi := f.Limits()
	var e float64
	for _, v := range x {
		q := math.RoundToEven(float64(v)/float64(scale)) + float64(zeroPoint)
		q = min(max(q, float64(qlo)), float64(qhi))
		d := float64(v) - (q-float64(zeroPoint))*float64(scale)
		e += d * d
	}
	return e / float64(len(x))
}

func (f Format) errorOfRange(x []float32, r Range) float64 {
	scale, zeroPoint := f.Params(r)
	return exactError(x, f, scale, zeroPoint)
}

// clippedBinError is how far the squared error of the clipped values may be
// off because each is known to one bin only. It matters where a few clipped
// values make most of the error.
func clippedBinError(x []float32, f Format, scale float32, zeroPoint int) float64 {
	lo, hi := f.Covers(scale, zeroPoint)
	var e float64
	for _, v := range x {
		if excess := max(lo-float64(v), float64(v)-hi); excess > 0 {
			width := math.Abs(float64(v)) / binsPerOctave
			e += 2*excess*width + width*width
		}
	}
	return e / float64(len(x))
}

func TestQuantErrorAgainstQuantizing(t *testing.T) {
	for name, draws := range tensors {
		x := draw(random(19), 20_000, draws)
		s := sketchOf(x)
		for fname, f := range formats {
			for _, method := range []Method{MinMax, Percentile, MSE} {
				c, err := s.Choose(Options{Method: method, Format: f})
				if err != nil {
					t.Fatal(err)
				}
				want := exactError(x, f, c.Scale, c.ZeroPoint)
				if math.Abs(c.Error.MSE-want) > 0.05*want+clippedBinError(x, f, c.Scale, c.ZeroPoint) {
					t.Errorf("%s as %s by %v: predicted %v, quantizing gives %v (%.3f)", name, fname, method, c.Error.MSE, want, c.Error.MSE/want)
				}
			}
		}
	}
}

// The least error over a fine grid of both ends, by quantizing every value.
func bruteForceMSE(x []float32, f Format) float64 {
	lo, hi := min(float64(slices.Min(x)), 0), max(float64(slices.Max(x)), 0)
	const n = 48
	ratio := func(i int) float64 { return math.Exp2(-8 * float64(i) / n) }
	least := math.Inf(1)
	for i := range n + 1 {
		for j := range n + 1 {
			if f.Symmetric && i != j || lo == 0 && i > 0 || hi == 0 && j > 0 {
				continue
			}
			least = min(least, f.errorOfRange(x, f.fit(ratio(i)*lo, ratio(j)*hi)))
		}
	}
	return least
}

func TestMSEAgainstBruteForce(t *testing.T) {
	for name, draws := range tensors {
		x := draw(random(23), 2000, draws)
		s := sketchOf(x)
		for fname, f := range formats {
			r, err := s.Range(Options{Method: MSE, Format: f})
			if err != nil {
				t.Fatal(err)
			}
			got, least := f.errorOfRange(x, r), bruteForceMSE(x, f)
			if got > 1.05*least {
				t.Errorf("%s as %s: range %v has error %v, brute force finds %v (%.3f)", name, fname, r, got, least, got/least)
			}
		}
	}
}

// divergenceOf is Migacz's procedure for one window of an exact histogram,
// step by step: P with the outliers at its ends, Q expanded from the levels.
func divergenceOf(counts []float64, a, b, levels int) float64 {
	p := slices.Clone(counts[a:b])
	for i, c := range counts {
		if i < a {
			p[0] += c
		} else if i >= b {
			p[len(p)-1] += c
		}
	}
	q := make([]float64, b-a)
	for level := range levels {
		from, to := level*(b-a)/levels, (level+1)*(b-a)/levels
		var sum, filled float64
		for _, c := range counts[a+from : a+to] {
			sum += c
			if c > 0 {
				filled++
			}
		}
		for i := from; i < to; i++ {
			if counts[a+i] > 0 {
				q[i] = sum / filled
			}
		}
	}
	var sumP, sumQ, kl float64
	for i := range p {
		sumP += p[i]
		sumQ += q[i]
	}
	for i := range p {
		if p[i] > 0 {
			kl += p[i] / sumP * math.Log((p[i]/sumP)/(q[i]/sumQ))
		}
	}
	return kl
}

// exactHistogram counts nonzero values, or magnitudes, in n bins.
func exactHistogram(x []float32, lo, hi float64, n int, magnitudes bool) []float64 {
	counts := make([]float64, n)
	for _, v := range x {
		v := float64(v)
		if magnitudes {
			v = math.Abs(v)
		}
		if v != 0 {
			counts[min(int((v-lo)/(hi-lo)*float64(n)), n-1)]++
		}
	}
	return counts
}

func TestDivergenceAgainstSteps(t *testing.T) {
	for name, draws := range tensors {
		s := sketchOf(draw(random(29), 5000, draws))
		d := s.distribution(math.Inf(1))
		k := newDivergence(&d, min(d.min, 0), max(d.max, 0), 256)
		n := len(k.count) - 1
		counts := make([]float64, n)
		for i := range counts {
			counts[i] = k.count[i+1] - k.count[i]
			if k.filled[i+1] == k.filled[i] {
				counts[i] = 0
			}
		}
		r := random(31)
		for range 20 {
			a := r.IntN(n / 3)
			b := n - r.IntN(n/3)
			got, want := k.at(a, b, math.Inf(1)), divergenceOf(counts, a, b, k.levels)
			if math.Abs(got-want) > 1e-6*max(1, want) && !(math.IsInf(got, 1) && math.IsInf(want, 1)) {
				t.Errorf("%s window %d to %d: %v, want %v", name, a, b, got, want)
			}
		}
	}
}

// TestDivergenceLimit: candidates are given up early without another choice.
func TestDivergenceLimit(t *testing.T) {
	for name, draws := range tensors {
		s := sketchOf(draw(random(41), 50_000, draws))
		d := s.distribution(math.Inf(1))
		k := newDivergence(&d, min(d.min, 0), max(d.max, 0), 128)
		n := len(k.count) - 1
		r := random(43)
		for range 5 {
			a, b, givenUp := r.IntN(n/3), n-r.IntN(n/3), 0
			at := func(length int, limit float64) float64 { return k.at(a, a+length, limit) }
			down := func(length int, limit float64) float64 { return k.at(b-length, b, limit) }
			for to, f := range map[int]func(int, float64) float64{n - a: at, b: down} {
				all := func(length int, limit float64) float64 {
					x := f(length, math.Inf(1))
					if y := f(length, limit); x != y {
						givenUp++
						if x <= limit {
							t.Errorf("%s: %v given up at %v", name, x, limit)
						}
					}
					return x
				}
				if got, want := bestLength(k.levels, to, f), bestLength(k.levels, to, all); got != want {
					t.Errorf("%s: %d, want %d", name, got, want)
				}
			}
			if givenUp == 0 {
				t.Errorf("%s: no candidate was given up", name)
			}
		}
	}
}

func TestEntropyAgainstBruteForce(t *testing.T) {
	for name, draws := range tensors {
		x := draw(random(37), 400_000, draws)
		s := sketchOf(x)
		r, err := s.Range(Options{Method: Entropy, Format: int8Symmetric})
		if err != nil {
			t.Fatal(err)
		}
		largest := max(-float64(slices.Min(x)), float64(slices.Max(x)))
		const n = 2048
		counts := exactHistogram(x, 0, largest, n, true)
		least, best := math.Inf(1), 0
		for b := 128; b <= n; b++ {
			if kl := divergenceOf(counts, 0, b, 128); kl < least {
				least, best = kl, b
			}
		}
		// In a sparse tail the divergence of a window is infinite or not as its
		// last bin happens to be empty: take the best within one bin of the
		// sketch.
		b := int(math.Round(float64(r.Max) / largest * n))
		got := math.Inf(1)
		for i := max(b-b/binsPerOctave, 128); i <= min(b+b/binsPerOctave, n); i++ {
			got = min(got, divergenceOf(counts, 0, i, 128))
		}
		t.Logf("%s: threshold %.4f of the largest, brute force %.4f", name, float64(b)/n, float64(best)/n)
		if got > 1.05*least {
			t.Errorf("%s: threshold %.4f of the largest has divergence %.4g, brute force %.4f has %.4g", name, float64(b)/n, got, float64(best)/n, least)
		}
	}
}

func TestMinMaxAndMovingAverage(t *testing.T) {
	var s Sketch
	s.Add([]float32{-1, 0, 4})
	s.Add([]float32{float32(math.NaN())}) // no observation
	s.Add([]float32{-2, 0, 8, float32(math.Inf(1))})
	s.Add([]float32{-6, 3})
	tests := []struct {
		method Method
		format Format
		want   Range
	}{
		{MinMax, uint8Asymmetric, Range{-6, 8}},
		{MinMax, int8Symmetric, Range{-8, 8}},
		{MovingAverage, uint8Asymmetric, Range{-3, 5}},
		{MovingAverage, int8Symmetric, Range{-5, 5}},
	}
	for _, test := range tests {
		if got, err := s.Range(Options{Method: test.method, Format: test.format}); err != nil || got != test.want {
			t.Errorf("%v as %+v: %v, %v; want %v", test.method, test.format, got, err, test.want)
		}
	}
}

// Every method on every tensor and format gives a range within the extremes
// that contains zero and is symmetric if asked; Auto has the least error.
func TestMethods(t *testing.T) {
	for name, draws := range tensors {
		x := draw(random(41), 10_000, draws)
		s := sketchOf(x)
		lo, hi := min(slices.Min(x), 0), max(slices.Max(x), 0)
		largest := max(-lo, hi)
		for fname, f := range formats {
			least := math.Inf(1)
			for m := MinMax; m <= Auto; m++ {
				c, err := s.Choose(Options{Method: m, Format: f})
				if err != nil {
					t.Fatal(err)
				}
				r := c.Range
				if f.Symmetric && (r.Min != -r.Max || r.Max <= 0 || r.Max > largest) ||
					!f.Symmetric && (r.Min < lo || r.Min > 0 || r.Max < 0 || r.Max > hi || r.Min == r.Max) {
					t.Errorf("%s as %s by %v: range %v of values %v to %v", name, fname, m, r, lo, hi)
				}
				if m == Auto && less(least, c.Error.MSE) {
					t.Errorf("%s as %s: auto took %v with error %v, least is %v", name, fname, c.Method, c.Error.MSE, least)
				}
				least = min(least, c.Error.MSE)
			}
		}
	}
}

func TestChooseOnOddTensors(t *testing.T) {
	inf := float32(math.Inf(1))
	mask := draw(random(43), 1000, tensors["normal"])
	for i := range 300 {
		mask[i] = -math.MaxFloat32
	}
	tests := []struct {
		name       string
		x          []float32
		degenerate bool
		lo, hi     float32 // bounds of the range
	}{
		{"empty", nil, true, 0, 0},
		{"not finite", []float32{inf, -inf, float32(math.NaN())}, true, 0, 0},
		{"zeros", make([]float32, 9), true, 0, 0},
		{"subnormal", []float32{1e-40, -1e-41}, true, 0, 0},
		{"constant", []float32{3, 3, 3}, false, -3, 3},
		{"one", []float32{-7}, false, -7, 7},
		{"smallest normal", []float32{0x1p-126}, false, -0x1p-126, 0x1p-126},
		{"mask", mask, false, -5, 5},
		{"only mask", mask[:300], true, 0, 0},
		{"infinite mask", append([]float32{-inf, -inf}, mask[300:]...), false, -5, 5},
	}
	for _, test := range tests {
		s := sketchOf(test.x)
		for fname, f := range formats {
			for m := MinMax; m <= Auto; m++ {
				c, err := s.Choose(Options{Method: m, Format: f})
				r := c.Range
				if err != nil || c.Degenerate != test.degenerate || r.Min < test.lo || r.Max > test.hi || !test.degenerate && r.Min == r.Max {
					t.Errorf("%s as %s by %v: %+v, %v", test.name, fname, m, c, err)
				}
				if c.Scale < minNormal || math.IsNaN(c.Error.MSE) || math.IsInf(c.Error.MSE, 0) {
					t.Errorf("%s as %s by %v: scale %v, error %v", test.name, fname, m, c.Scale, c.Error)
				}
			}
		}
	}
	if c, _ := sketchOf(mask).Choose(Options{Format: uint8Asymmetric}); c.Excluded != 300 {
		t.Errorf("%d values are excluded, want 300", c.Excluded)
	}
	if c, _ := sketchOf(mask).Choose(Options{Format: uint8Asymmetric, Limit: math.Inf(1)}); c.Excluded != 0 || c.Range.Min != -math.MaxFloat32 {
		t.Errorf("without a limit: %+v", c)
	}
}

func TestChooseErrors(t *testing.T) {
	s := sketchOf([]float32{1})
	for _, o := range []Options{
		{},
		{Format: Format{Bits: 17}},
		{Format: Format{Bits: 2, ReduceRange: true}},
		{Format: uint8Asymmetric, Percent: 101},
		{Format: uint8Asymmetric, Percent: -1},
		{Format: uint8Asymmetric, Percent: math.NaN()},
		{Format: uint8Asymmetric, Limit: -1},
		{Format: uint8Asymmetric, Method: Auto + 1},
	} {
		if _, err := s.Choose(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestMethodNames(t *testing.T) {
	for m := MinMax; m <= Auto; m++ {
		if got, err := ParseMethod(m.String()); err != nil || got != m {
			t.Errorf("%v parses as %v, %v", m, got, err)
		}
	}
	if _, err := ParseMethod("best"); err == nil {
		t.Error("best is accepted")
	}
}

func TestMaskLimit(t *testing.T) {
	for name, draws := range tensors {
		if got := sketchOf(draw(random(61), 10_000, draws)).MaskLimit(); got != 0 {
			t.Errorf("%s: mask from %v", name, got)
		}
	}
	for _, mask := range []float32{-1e4, -65504, -1e9, -math.MaxFloat32} {
		x := draw(random(61), 1000, tensors["normal"])
		bulk := max(-slices.Min(x), slices.Max(x))
		for i := range 100 {
			x = append(x, mask+x[i])
		}
		s := sketchOf(x)
		limit := s.MaskLimit()
		c, err := s.Choose(Options{Format: int8Symmetric, Limit: limit})
		if err != nil || c.Excluded != 100 || math.Abs(float64(c.Range.Max/bulk)-1) > 1./binsPerOctave {
			t.Errorf("mask %v: limit %v leaves %+v of values up to %v, %v", mask, limit, c, bulk, err)
		}
	}
	if got := (&Sketch{}).MaskLimit(); got != 0 {
		t.Errorf("empty: mask from %v", got)
	}
}

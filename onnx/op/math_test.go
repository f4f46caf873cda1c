package op

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// evalOp runs one node of ai.onnx at an opset.
func evalOp(name string, opset int64, outputs int, in []tensor.Value, attrs ...*graph.Attr) ([]tensor.Value, error) {
	g := graph.New("test")
	values := make([]*graph.Value, len(in))
	for i, v := range in {
		if t, ok := v.(*tensor.Tensor); ok {
			values[i] = g.AddInput(fmt.Sprint("x", i), graph.TypeOf(t))
		}
	}
	out := make([]string, outputs)
	for i := range out {
		out[i] = fmt.Sprint("y", i)
	}
	n := g.NewNode(name, values, out, attrs...)
	r, err := Resolve(n, func(string) int64 { return opset })
	if err != nil {
		return nil, err
	}
	return r.Run(n, &Env{MaxBytes: 1 << 20}, in)
}

func eval1(t *testing.T, name string, opset int64, in []tensor.Value, attrs ...*graph.Attr) *tensor.Tensor {
	t.Helper()
	out, err := evalOp(name, opset, 1, in, attrs...)
	if err != nil {
		t.Fatal(err)
	}
	return out[0].(*tensor.Tensor)
}

func wantFloats(t *testing.T, got *tensor.Tensor, want ...float64) {
	t.Helper()
	v := got.Floats()
	if len(v) != len(want) {
		t.Fatalf("got %v, want %v", v, want)
	}
	for i, w := range want {
		if !(math.Abs(v[i]-w) <= 1e-5*max(1, math.Abs(w))) && !(math.IsNaN(w) && math.IsNaN(v[i])) {
			t.Fatalf("element %d: got %v, want %v", i, v, want)
		}
	}
}

type vals = []tensor.Value

var nan = float32(math.NaN())

// TestMathVersions covers semantics that ONNX's own node tests, which describe
// the newest versions, leave out.
func TestMathVersions(t *testing.T) {
	inf := float32(math.Inf(1))
	matrix := tensor.Of([]int{2, 3}, []float32{1, 2, 3, 4, 5, 6})
	for _, c := range []struct {
		name, op string
		opset    int64
		in       vals
		attrs    []*graph.Attr
		want     []float64
	}{
		{"legacy broadcast on the first axis", "Add", 6, vals{matrix, tensor.Vector[float32](10, 20)},
			[]*graph.Attr{graph.Int("broadcast", 1), graph.Int("axis", 0)}, []float64{11, 12, 13, 24, 25, 26}},
		{"legacy broadcast on the last axes", "Sub", 6, vals{matrix, tensor.Vector[float32](1, 2, 3)},
			[]*graph.Attr{graph.Int("broadcast", 1)}, []float64{0, 0, 0, 3, 3, 3}},
		{"slope per channel", "PRelu", 6, vals{tensor.Of([]int{1, 2, 2}, []float32{-1, -1, -1, -1}), tensor.Vector[float32](2, 3)}, nil, []float64{-2, -2, -3, -3}},
		{"slope on the last axis", "PRelu", 7, vals{tensor.Of([]int{1, 2, 2}, []float32{-1, -1, -1, -1}), tensor.Vector[float32](2, 3)}, nil, []float64{-2, -3, -2, -3}},
		{"flattened lanes", "Softmax", 11, vals{tensor.Of([]int{1, 2, 2}, []float32{0, 0, 0, 0})}, []*graph.Attr{graph.Int("axis", 1)}, []float64{.25, .25, .25, .25}},
		{"lanes of one axis", "Softmax", 13, vals{tensor.Of([]int{1, 2, 2}, []float32{0, 0, 0, 0})}, []*graph.Attr{graph.Int("axis", 1)}, []float64{.5, .5, .5, .5}},
		{"bounds as attributes", "Clip", 6, vals{tensor.Vector[float32](-5, 0, 5)}, []*graph.Attr{graph.Float("min", -1), graph.Float("max", 1)}, []float64{-1, 0, 1}},
		{"the upper bound wins", "Clip", 13, vals{tensor.Vector[float32](-5, 5), tensor.Scalar[float32](3), tensor.Scalar[float32](1)}, nil, []float64{1, 1}},
		{"uint64 above int64", "Clip", 13, vals{tensor.Vector[uint64](1, 1<<63+5), tensor.Scalar[uint64](2), nil}, nil, []float64{2, 1<<63 + 5}},
		{"cast to a name", "Cast", 1, vals{tensor.Vector[float32](1.5, -1.5)}, []*graph.Attr{graph.Str("to", "INT32")}, []float64{1, -1}},
		{"NaN wins", "Max", 13, vals{tensor.Vector(nan, 1), tensor.Vector(inf, 2)}, nil, []float64{math.NaN(), 2}},
		{"NaN wins", "ReduceMin", 13, vals{tensor.Vector(nan, -inf)}, nil, []float64{math.NaN()}},
		{"unsigned order", "ReduceMax", 13, vals{tensor.Vector[uint64](1<<63, 1)}, nil, []float64{1 << 63}},
		{"empty group", "ReduceMax", 13, vals{tensor.Of([]int{1, 0}, []int32{})}, []*graph.Attr{graph.Ints("axes", 1)}, []float64{math.MinInt32}},
		{"sign of the divisor", "Mod", 13, vals{tensor.Vector[int8](-7, 7), tensor.Vector[int8](3, -3)}, nil, []float64{2, -2}},
		{"sign of the dividend", "Mod", 13, vals{tensor.Vector[int8](-7, 7), tensor.Vector[int8](3, -3)}, []*graph.Attr{graph.Int("fmod", 1)}, []float64{-1, 1}},
		{"dropout infers", "Dropout", 6, vals{tensor.Vector[float32](1, 2)}, []*graph.Attr{graph.Int("is_test", 1)}, []float64{1, 2}},
		{"exact integers", "Gemm", 13, vals{tensor.Of([]int{1, 1}, []int64{1<<60 + 1}), tensor.Of([]int{1, 1}, []int64{1}), tensor.Scalar[int64](-1 << 60)}, nil, []float64{1}},
		{"the whole of int64", "Range", 11, vals{tensor.Scalar[int64](math.MinInt64), tensor.Scalar[int64](math.MaxInt64), tensor.Scalar[int64](1 << 62)}, nil, []float64{-1 << 63, -1 << 62, 0, 1 << 62}},
		{"downward", "Range", 11, vals{tensor.Scalar[int64](5), tensor.Scalar[int64](0), tensor.Scalar[int64](-2)}, nil, []float64{5, 3, 1}},
		{"trace", "Einsum", 12, vals{tensor.Of([]int{2, 2}, []int64{1<<60 + 1, 0, 0, -1 << 60})}, []*graph.Attr{graph.Str("equation", "ii")}, []float64{1}},
	} {
		t.Run(c.op+" "+c.name, func(t *testing.T) {
			wantFloats(t, eval1(t, c.op, c.opset, c.in, c.attrs...), c.want...)
		})
	}
}

func half(v float64) *tensor.Tensor { return tensor.FromFloats(tensor.Float16, nil, []float64{v}) }

// TestQuantizePrecision divides numbers whose quotient rounds differently in
// float16 and float32.
func TestQuantizePrecision(t *testing.T) {
	x, s := half(2003), half(0.7001953125)
	exact := 2003 / 0.7001953125 // between the float16 numbers 2860 and 2862
	narrow := tensor.FromFloats(tensor.Float16, nil, []float64{exact}).Floats()[0]
	as16 := graph.Int("output_dtype", int64(tensor.Int16))
	if math.RoundToEven(exact) == narrow {
		t.Fatal("the example does not tell the precisions apart")
	}
	wantFloats(t, eval1(t, "QuantizeLinear", 21, vals{x, s, nil}, as16), math.RoundToEven(exact))
	wantFloats(t, eval1(t, "QuantizeLinear", 23, vals{x, s, nil}, as16), narrow)
	wantFloats(t, eval1(t, "QuantizeLinear", 23, vals{x, s, nil}, as16, graph.Int("precision", int64(tensor.Float32))), math.RoundToEven(exact))
}

// TestQLinearMatMulRows multiplies with a scale and zero point for each row
// of a and each column of b.
func TestQLinearMatMulRows(t *testing.T) {
	y := eval1(t, "QLinearMatMul", 10, vals{
		tensor.Of([]int{2, 1}, []uint8{5, 9}), tensor.Vector[float32](1, 2), tensor.Vector[uint8](1, 5),
		tensor.Of([]int{1, 2}, []int8{3, 4}), tensor.Vector[float32](1, 10), tensor.Vector[int8](1, 2),
		tensor.Scalar[float32](2), tensor.Scalar[uint8](7)})
	wantFloats(t, y, 4+7, 40+7, 8+7, 80+7)
}

func TestDFTRoundTrip(t *testing.T) {
	x := tensor.Of([]int{1, 5, 2}, []float32{1, 0, -2, 1, 3, .5, 0, 4, 2, -1})
	for _, length := range []int64{5, 8} {
		forward := eval1(t, "DFT", 17, vals{x, tensor.Scalar(length)})
		back := eval1(t, "DFT", 17, vals{forward}, graph.Int("inverse", 1)).Floats()
		want := append(x.Floats(), make([]float64, 2*(length-5))...)
		wantFloats(t, tensor.FromFloats(tensor.Float64, []int{len(back)}, back), want...)
	}
	real := tensor.Of([]int{1, 6, 1}, []float32{3, 1, -4, 1, 5, -9})
	bins := eval1(t, "DFT", 20, vals{real}, graph.Int("onesided", 1))
	if !slices.Equal(bins.Shape, []int{1, 4, 2}) {
		t.Fatalf("one-sided spectrum %v", bins)
	}
	back := eval1(t, "DFT", 20, vals{bins}, graph.Int("onesided", 1), graph.Int("inverse", 1))
	wantFloats(t, back, real.Floats()...)
}

func TestRandomIsDeterministic(t *testing.T) {
	seed, shape := graph.Float("seed", 3), graph.Ints("shape", 1000)
	for _, op := range []string{"RandomNormal", "RandomUniform"} {
		a, b := eval1(t, op, 22, nil, seed, shape), eval1(t, op, 22, nil, seed, shape)
		if !a.Equal(b) {
			t.Errorf("%s differs with one seed", op)
		}
		if c := eval1(t, op, 22, nil, graph.Float("seed", -3), shape); a.Equal(c) {
			t.Errorf("%s is the same with another seed", op)
		}
	}
	sum := 0.0
	for _, v := range eval1(t, "RandomNormal", 22, nil, seed, shape, graph.Float("mean", 5)).Floats() {
		sum += v
	}
	if mean := sum / 1000; math.Abs(mean-5) > 0.2 {
		t.Errorf("mean %v of normal numbers around 5", mean)
	}
	p := tensor.Of([]int{1, 3}, []float32{float32(math.Inf(-1)), 0, float32(math.Log(3))})
	count := [3]int{}
	for _, c := range eval1(t, "Multinomial", 22, vals{p}, graph.Float("seed", 1), graph.Int("sample_size", 4000)).Ints() {
		count[c]++
	}
	if count[0] != 0 || math.Abs(float64(count[2])/4000-0.75) > 0.05 {
		t.Errorf("classes %v of 4000 for probabilities 0, 1/4, 3/4", count)
	}
	ones := eval1(t, "Bernoulli", 22, vals{tensor.Vector[float32](0, 1, 1)}, graph.Float("seed", 1))
	wantFloats(t, ones, 0, 1, 1)
}

func TestLossMeans(t *testing.T) {
	logp := tensor.Of([]int{3, 2}, []float32{-1, -2, -3, -4, -5, -6})
	target, weight := tensor.Vector[int64](0, 1, -1), tensor.Vector[float32](1, 3)
	ignore := graph.Int("ignore_index", -1)
	wantFloats(t, eval1(t, "NegativeLogLikelihoodLoss", 13, vals{logp, target}, ignore), 2.5)
	wantFloats(t, eval1(t, "NegativeLogLikelihoodLoss", 13, vals{logp, target, weight}, ignore), 13.0/4)
	if _, err := evalOp("NegativeLogLikelihoodLoss", 13, 1, vals{logp, target}); err == nil {
		t.Error("a target outside the classes is no error")
	}
}

func stringVector(s ...string) *tensor.Tensor {
	x, _ := tensor.FromStrings([]int{len(s)}, s)
	return x
}

func TestStrings(t *testing.T) {
	for _, c := range []struct {
		op    string
		opset int64
		in    vals
		attrs []*graph.Attr
		want  string
	}{
		{"StringNormalizer", 10, vals{stringVector("Mon", "tue", "MON")}, []*graph.Attr{graph.Strs("stopwords", "mon"), graph.Str("case_change_action", "UPPER")}, "TUE"},
		{"StringNormalizer", 10, vals{stringVector("Mon", "mon")}, []*graph.Attr{graph.Strs("stopwords", "mon"), graph.Int("is_case_sensitive", 1)}, "Mon"},
		{"StringNormalizer", 10, vals{stringVector("mon")}, []*graph.Attr{graph.Strs("stopwords", "mon")}, ""},
		{"StringNormalizer", 10, vals{stringVector("istanbul")}, []*graph.Attr{graph.Str("locale", "tr_TR"), graph.Str("case_change_action", "UPPER")}, "İSTANBUL"},
		{"StringSplit", 20, vals{stringVector(" a \t b  c ", "d")}, []*graph.Attr{graph.Int("maxsplit", 1)}, "a|b  c|d|"},
		{"StringSplit", 20, vals{stringVector(",a,,b", "")}, []*graph.Attr{graph.Str("delimiter", ",")}, "|a||b||||"},
		{"StringConcat", 20, vals{stringVector("a", "b"), stringVector("-")}, nil, "a-|b-"},
	} {
		got := strings.Join(eval1(t, c.op, c.opset, c.in, c.attrs...).Strings(), "|")
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.op, got, c.want)
		}
	}
	for pattern, want := range map[string][]bool{`a|ab`: {true, true, false}, `\Qab`: {false, true, false}, `.*`: {true, true, true}} {
		got := eval1(t, "RegexFullMatch", 20, vals{stringVector("a", "ab", "c")}, graph.Str("pattern", pattern)).Bools()
		if pattern != ".*" && !slices.Equal(got, want) || pattern == ".*" && slices.Contains(got, false) {
			t.Errorf("pattern %s: got %v, want %v", pattern, got, want)
		}
	}
}

// TestTfIdfWeights has an n-gram whose place in the pool is not its column.
func TestTfIdfWeights(t *testing.T) {
	attrs := []*graph.Attr{graph.Int("min_gram_length", 1), graph.Int("max_gram_length", 2), graph.Int("max_skip_count", 1),
		graph.Ints("ngram_counts", 0, 2), graph.Ints("ngram_indexes", 2, 0, 1), graph.Ints("pool_int64s", 2, 3, 2, 3), graph.Floats("weights", 10, 100, 1000)}
	x := tensor.Vector[int64](2, 2, 3)
	for mode, want := range map[string][]float64{"TF": {1, 2, 2}, "IDF": {100, 1000, 10}, "TFIDF": {100, 2000, 20}} {
		wantFloats(t, eval1(t, "TfIdfVectorizer", 9, vals{x}, append(attrs, graph.Str("mode", mode))...), want...)
	}
}

// TestMathHostile feeds sizes and attributes that must fail before anything
// of their size is allocated.
func TestMathHostile(t *testing.T) {
	long, wide := tensor.New(tensor.Uint8, 1<<15, 1), tensor.New(tensor.Uint8, 1, 1<<15)
	one, scale := tensor.Vector[int64](1), tensor.Scalar[float32](1)
	zero := tensor.Scalar[uint8](0)
	image, kernel := tensor.New(tensor.Uint8, 1, 1, 2, 2), tensor.New(tensor.Uint8, 1, 1, 1, 1)
	pads := graph.Ints("pads", 1<<20, 1<<20, 1<<20, 1<<20)
	for _, c := range []struct {
		op    string
		opset int64
		in    vals
		attrs []*graph.Attr
	}{
		{"BitShift", 11, vals{long, wide}, []*graph.Attr{graph.Str("direction", "LEFT")}},
		{"Mod", 13, vals{long, wide}, nil},
		{"MatMulInteger", 10, vals{long, wide}, nil},
		{"QLinearMatMul", 10, vals{long, scale, zero, wide, scale, zero, scale, zero}, nil},
		{"ConvInteger", 10, vals{image, kernel}, []*graph.Attr{pads}},
		{"QLinearConv", 10, vals{image, scale, zero, kernel, scale, zero, scale, zero}, []*graph.Attr{pads}},
		{"HannWindow", 17, vals{tensor.Scalar[int64](1 << 40)}, nil},
		{"HannWindow", 17, vals{tensor.Scalar[int64](-1)}, nil},
		{"HannWindow", 17, vals{tensor.Scalar[int64](4)}, []*graph.Attr{graph.Int("output_datatype", 8)}},
		{"MelWeightMatrix", 17, vals{tensor.Scalar[int64](1 << 40), tensor.Scalar[int64](16), tensor.Scalar[int64](8000), scale, scale}, nil},
		{"MelWeightMatrix", 17, vals{tensor.Scalar[int64](4), tensor.Scalar[int64](16), tensor.Scalar[int64](8000), tensor.Scalar[float32](0), tensor.Scalar[float32](1e9)}, nil},
		{"DFT", 20, vals{tensor.New(tensor.Float32, 1, 4, 1), tensor.Scalar[int64](1 << 40)}, nil},
		{"DFT", 20, vals{tensor.New(tensor.Float32, 1, 4, 1), nil, tensor.Scalar[int64](2)}, nil},
		{"STFT", 17, vals{tensor.New(tensor.Float32, 1, 4, 1), tensor.Scalar[int64](0), nil, tensor.Scalar[int64](2)}, nil},
		{"RandomNormal", 1, nil, []*graph.Attr{graph.Ints("shape", 1<<40)}},
		{"RandomUniform", 1, nil, []*graph.Attr{graph.Ints("shape", -1)}},
		{"RandomNormal", 1, nil, []*graph.Attr{graph.Ints("shape", 1), graph.Int("dtype", 257)}},
		{"Multinomial", 7, vals{tensor.New(tensor.Float32, 1, 2)}, []*graph.Attr{graph.Int("sample_size", 1<<40)}},
		{"TfIdfVectorizer", 9, vals{one}, []*graph.Attr{graph.Str("mode", "TF"), graph.Int("min_gram_length", 1), graph.Int("max_gram_length", 1),
			graph.Int("max_skip_count", 0), graph.Ints("ngram_counts", 0), graph.Ints("ngram_indexes", 1<<40), graph.Ints("pool_int64s", 1)}},
		{"Range", 11, vals{tensor.Scalar[int64](math.MinInt64), tensor.Scalar[int64](math.MaxInt64), tensor.Scalar[int64](1)}, nil},
		{"Range", 11, vals{tensor.Scalar[int64](0), tensor.Scalar[int64](1), tensor.Scalar[int64](0)}, nil},
		{"RegexFullMatch", 20, vals{stringVector("a")}, []*graph.Attr{graph.Str("pattern", "(")}},
		{"QuantizeLinear", 21, vals{scale, scale, nil}, []*graph.Attr{graph.Int("output_dtype", 8)}},
		{"QuantizeLinear", 13, vals{tensor.New(tensor.Float32, 2), tensor.New(tensor.Float32, 2), zero}, []*graph.Attr{graph.Int("axis", 0)}},
		{"Clip", 13, vals{scale, tensor.Vector[float32](1, 2)}, nil},
		{"Einsum", 12, vals{tensor.New(tensor.Float32, 2, 2)}, []*graph.Attr{graph.Str("equation", "ij->ii")}},
		{"Add", 6, vals{tensor.Vector[float32](1), tensor.Vector[float32](1, 2)}, nil},
		{"Cast", 13, vals{scale}, []*graph.Attr{graph.Int("to", 256+1)}},
	} {
		if out, err := evalOp(c.op, c.opset, 1, c.in, c.attrs...); err == nil {
			t.Errorf("%s gave %v, want an error", c.op, out)
		} else if strings.Contains(err.Error(), "runtime error") {
			t.Errorf("%s crashed: %v", c.op, err)
		}
	}
}

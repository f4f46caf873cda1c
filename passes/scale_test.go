package passes

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Graphs whose channels can be scaled, and ones that must be left alone; w
// inputs become random initializers whose channels differ in range.
var scaleCases = []struct {
	name   string
	groups int    // of channels that are scaled
	why    string // in a reason, if none is
	model  string
}{
	{"Relu", 1, "",
		`g (float[1,4,6,6] x, float[8,4,3,3] w1, float[8] w2, float[6,8,3,3] w3) => (float[1,6,2,2] y) { a = Conv(x, w1, w2) b = Relu(a) y = Conv(b, w3) }`},
	{"depthwise and pools", 2, "",
		`g (float[1,4,8,8] x, float[8,4,1,1] w1, float[8,1,3,3] w2, float[8] w3, float[5,8] w4) => (float[1,5] y) { a = Conv(x, w1) b = LeakyRelu(a) p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b) c = Conv<group=8, pads=[1,1,1,1]>(p, w2, w3) d = GlobalAveragePool(c) f = Flatten(d) y = Gemm<transB=1>(f, w4) }`},
	{"residual addition", 1, "",
		`g (float[1,4,6,6] x, float[8,4,1,1] w1, float[8,8,3,3] w2, float[8] w3, float[6,8,1,1] w4) => (float[1,6,6,6] y) { a = Conv(x, w1) b = Conv<pads=[1,1,1,1]>(a, w2, w3) c = Add(a, b) d = Relu(c) y = Conv(d, w4) }`},
	{"PRelu, grouped, transposed", 3, "",
		`g (float[1,4,6,6] x, float[8,4,1,1] w1, float[8,1,1] w2, float[8,4,3,3] w3, float[8,3,2,2] w4, float[5,6,1,1] w5) => (float[1,5,5,5] y) { a = Conv(x, w1) b = PRelu(a, w2) c = Conv<group=2>(b, w3) d = ConvTranspose<group=2>(c, w4) y = Conv(d, w5) }`},
	{"products with an added bias", 1, "",
		`g (float[3,5,8] x, float[8,12] w1, float[12] w2, float[12,6] w3) => (float[3,5,6] y) { a = MatMul(x, w1) b = Add(a, w2) c = Relu(b) y = MatMul(c, w3) }`},
	{"Clip at 6", 0, "cuts at",
		`g (float[1,4,6,6] x, float[8,4,3,3] w1, float[6,8,1,1] w2) => (float[1,6,4,4] y) <float lo = {0}, float hi = {6}> { a = Conv(x, w1) b = Clip(a, lo, hi) y = Conv(b, w2) }`},
	{"Sigmoid", 0, "cannot be scaled",
		`g (float[1,4,6,6] x, float[8,4,3,3] w1, float[6,8,1,1] w2) => (float[1,6,4,4] y) { a = Conv(x, w1) b = Sigmoid(a) y = Conv(b, w2) }`},
	{"an output", 0, "is an output",
		`g (float[1,4,6,6] x, float[8,4,3,3] w1, float[6,8,1,1] w2) => (float[1,6,4,4] y, float[1,8,4,4] a) { a = Conv(x, w1) y = Conv(a, w2) }`},
	{"a shared weight", 0, "is shared",
		`g (float[4,8] x, float[8,8] w1) => (float[4,8] y) { a = Gemm(x, w1) b = Relu(a) y = Gemm(b, w1) }`},
}

func TestEqualizeKeepsOutputs(t *testing.T) {
	for _, c := range scaleCases {
		t.Run(c.name, func(t *testing.T) {
			m, src := scaleModel(t, c.model)
			checkScaled(t, m, src, "equalize-layers", 0, c.groups, c.why)
		})
	}
}

// Equalized channels have equal ranges, to the nearest power of two.
func TestEqualizeBalances(t *testing.T) {
	m, src := scaleModel(t, scaleCases[0].model)
	checkScaled(t, m, src, "equalize-layers", 0, 1, "")
	var made, read [8]float64
	for n := range m.Graph.Nodes() {
		if !n.Is("Conv") {
			continue
		}
		for i, w := range n.In(1).Const().Floats() {
			if n.In(2) != nil {
				made[i/36] = max(made[i/36], math.Abs(w))
			} else {
				read[i/9%8] = max(read[i/9%8], math.Abs(w))
			}
		}
	}
	for i := range made {
		if r := made[i] / read[i]; r > 2.01 || r < 0.49 {
			t.Errorf("channel %d: ranges %g and %g", i, made[i], read[i])
		}
	}
}

// Channels of an activation that differ much in range are scaled; what the
// model computes stays, behind a normalization too.
func TestSmoothKeepsOutputs(t *testing.T) {
	const norm = `g (float[64,16,8] x, float[8] w1, float[8] w2, float[8,12] w3, float[8,6] w4) => (float[64,16,12] y, float[64,16,6] z) { a = LayerNormalization<axis=-1>(x, w1, w2) y = MatMul(a, w3) z = MatMul(a, w4) }`
	const conv = `g (float[8,4,12,12] x, float[8,4,3,3] w1, float[8] w2, float[6,8,3,3] w3) => (float[8,6,8,8] y) { a = Conv(x, w1, w2) b = Relu(a) y = Conv(b, w3) }`
	const clip = `g (float[8,4,12,12] x, float[8,4,3,3] w1, float[8] w2, float[6,8,3,3] w3) => (float[8,6,8,8] y) <float lo = {0}, float hi = {6}> { a = Conv(x, w1, w2) b = Clip(a, lo, hi) y = Conv(b, w3) }`
	for _, c := range []struct {
		name, model string
		groups      int
		why         string
	}{{"norm", norm, 1, ""}, {"conv", conv, 1, ""}, {"clip", clip, 0, "cuts at"}} {
		t.Run(c.name, func(t *testing.T) {
			m, src := scaleModel(t, c.model)
			checkScaled(t, m, src, "smooth-activations", 1e-5, c.groups, c.why)
		})
	}
}

// Smoothing lowers the noise of an activation with an outlying channel.
func TestSmoothLowersNoise(t *testing.T) {
	const model = `g (float[64,16,8] x, float[8] w1, float[8] w2, float[8,12] w3) => (float[64,16,12] y) { a = LayerNormalization<axis=-1>(x, w1, w2) y = MatMul(a, w3) }`
	noise := func(more ...string) float64 {
		m, src := scaleModel(t, model)
		want := runOnce(t, m, src.values)
		list, err := Pipeline("int8", more...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pass.Run(context.Background(), m, list, pass.Options{Samples: src, Off: map[string]bool{"round-weights": true},
			Settings: pass.Settings{Quant: pass.QuantSettings{MinSQNR: -1}}}); err != nil {
			t.Fatal(err)
		}
		return decibels(want[0], runOnce(t, m, src.values)[0])
	}
	if plain, smooth := noise(), noise("smooth-activations"); smooth < plain+3 {
		t.Errorf("%.1f dB, smoothed %.1f dB", plain, smooth)
	}
}

// scaleModel is a model with random weights whose channels differ by powers of
// 1.7, otherwise in each weight, and a sample.
func scaleModel(t *testing.T, text string) (*graph.Model, *oneSample) {
	t.Helper()
	m := parseCase(t, text)
	rng := rand.New(rand.NewPCG(3, 5))
	src := &oneSample{}
	for _, v := range append([]*graph.Value{}, m.Graph.Inputs()...) {
		x := randomValue(rng, v)
		if v.Name[0] != 'w' {
			src.values = append(src.values, x)
			continue
		}
		d := x.Float32s()
		for i := range d {
			first := i / max(x.Len()/x.Shape[0], 1) // along axis 0
			d[i] *= float32(math.Pow(1.7, float64(first*int(v.Name[1]-'0')%5)))
		}
		m.Graph.SetDefault(v, &graph.Data{Tensor: x})
		m.Graph.RemoveInput(v)
	}
	return m, src
}

// checkScaled runs one pass and compares outputs, exactly if within is 0.
func checkScaled(t *testing.T, m *graph.Model, src *oneSample, name string, within float64, groups int, why string) {
	t.Helper()
	values := make([]tensor.Value, len(src.values))
	for i := range values {
		values[i] = src.values[i]
	}
	want, err := reference(m, values)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Select([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := pass.Run(context.Background(), m, list, pass.Options{Samples: src})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, m)
	if n := ledger.Changes(name); n != groups {
		t.Errorf("%d changes, want %d: %v", n, groups, ledger.Entries)
	}
	reasons := ""
	for _, e := range ledger.Entries {
		reasons += e.Detail + "\n"
	}
	if !strings.Contains(reasons, why) {
		t.Errorf("no reason %q in\n%s", why, reasons)
	}
	got, err := reference(m, values)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		a, b := want[i].(*tensor.Tensor).Float32s(), got[i].(*tensor.Tensor).Float32s()
		if d := largest(a, b); d > within {
			t.Errorf("output %d moved by %.2g", i, d)
		}
	}
}

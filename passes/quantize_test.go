package passes

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/graphtest"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/quant"
	"onnxopt/runtime"
)

// Models in the text form; inputs whose names begin with w become random
// initializers, with k they stay inputs with that default.
var quantizeCases = []struct {
	name, model string
	preset      string
	has         []string // operators that must be there
	lacks       []string
	settings    pass.QuantSettings
}{
	{name: "conv, residual, pool", preset: "int8", has: []string{"QuantizeLinear"},
		model: `g (float[1,8,8,8] x, float[16,8,3,3] w1, float[16] w2, float[16,16,3,3] w3, float[16] w4) => (float[1,16,4,4] y) { a = Conv<pads=[1,1,1,1]>(x, w1, w2) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, w3, w4) d = Add(b, c) e = Relu(d) y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(e) }`},
	{name: "MaxPool between float operators", preset: "int8", has: []string{"MaxPool"},
		model: `g (float[1,8,8,8] x, float[16,8,3,3] w1) => (float[1,16,3,3] y) { a = Conv(x, w1) b = Sigmoid(a) c = Mul(a, b) y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c) }`},
	{name: "weight behind Transpose and Identity", preset: "int8", lacks: []string{"Transpose", "Identity"},
		model: `g (float[4,32] x, float[24,32] w1) => (float[4,24] y) { t = Transpose<perm=[1,0]>(w1) i = Identity(t) y = MatMul(x, i) }`},
	{name: "one weight of two layers", preset: "int8",
		model: `g (float[4,32] x, float[32,32] w1, float[32] w2) => (float[4,32] y) { a = Gemm(x, w1, w2) b = Relu(a) y = Gemm(b, w1, w2) }`},
	{name: "weight that is an input with a default", preset: "int8", has: []string{"QuantizeLinear"},
		model: `g (float[4,32] x, float[32,24] k1) => (float[4,24] y) { y = MatMul(x, k1) }`},
	{name: "Gemm with every flag", preset: "int8", has: []string{"QuantizeLinear", "Add"},
		model: `g (float[32,4] x, float[24,32] w1, float[4,24] w2) => (float[4,24] y) { y = Gemm<alpha=0.5, beta=2.0, transA=1, transB=1>(x, w1, w2) }`},
	{name: "grouped and depthwise", preset: "int8",
		model: `g (float[1,16,6,6] x, float[16,1,3,3] w1, float[32,8,1,1] w2, float[32,8,3,3] w3) => (float[1,16,6,6] y) { a = Conv<group=16, pads=[1,1,1,1]>(x, w1) b = Conv<group=2>(a, w2) y = ConvTranspose<group=2, pads=[1,1,1,1]>(b, w3) }`},
	{name: "stack of matrices, attention with a mask of -inf", preset: "int8", has: []string{"Softmax"},
		model: `g (float[2,8,32] x, float[32,32] w1, float[32,32] w2, float[2,8,8] m) => (float[2,8,32] y) { q = MatMul(x, w1) k = MatMul(x, w2) t = Transpose<perm=[0,2,1]>(k) s = MatMul(q, t) f = Log(m) a = Add(s, f) p = Softmax(a) y = MatMul(p, x) }`},
	{name: "recurrent and embedding", preset: "int8", has: []string{"GRU", "Gather"},
		model: `g (float[5,1,16] x, int64[5,1] ids, float[50,16] w0, float[1,48,16] w1, float[1,48,16] w2) => (float[5,1,1,16] y, float[5,1,16] e) { e = Gather(w0, ids) y = GRU<hidden_size=16>(x, w1, w2) }`},
	{name: "constant on the left, scalars", preset: "int8",
		model: `g (float[32,4] x, float[24,32] w1, float w2) => (float[24,4] y) { a = MatMul(w1, x) y = Mul(a, w2) }`},
	{name: "concat", preset: "int8",
		model: `g (float[1,8,6,6] x, float[16,8,1,1] w1, float[16,8,1,1] w2, float[16,32,1,1] w3) => (float[1,16,6,6] y) { a = Conv(x, w1) b = Conv(x, w2) c = Concat<axis=1>(a, b) y = Conv(c, w3) }`},
	{name: "one scale for each weight", preset: "int8", settings: pass.QuantSettings{PerTensor: true}, has: []string{"QuantizeLinear"},
		model: `g (float[1,8,8,8] x, float[16,8,3,3] w1, float[576,32] w2, float[24,32] w3) => (float[1,24] y) { a = Conv(x, w1) f = Flatten(a) b = MatMul(f, w2) y = Gemm<transB=1>(b, w3) }`},
	{name: "float layers between integer layers", preset: "int8", settings: pass.QuantSettings{Half: []string{"b", "f"}, MinSQNR: -1},
		model: `g (float[1,8,8,8] x, float[16,8,3,3] w1, float[16,16,3,3] w2, float[16] w3, float[32,16,1,1] w4, float[24,32] w5, float[8,24] w6) => (float[1,8] y) { a = Conv(x, w1) b = Conv(a, w2, w3) r = Relu(b) p = MaxPool<kernel_shape=[2,2]>(r) c = Conv(p, w4) d = GlobalAveragePool(c) e = Flatten(d) f = Gemm<transB=1>(e, w5) y = Gemm<transB=1>(f, w6) }`},
	{name: "four bits", preset: "int8", settings: pass.QuantSettings{WeightBits: 4, MinSQNR: -1},
		model: `g (float[4,64] x, float[64,32] w1) => (float[4,32] y) { y = MatMul(x, w1) }`},
	{name: "blocks", preset: "weights", has: []string{"DequantizeLinear", "Add"}, lacks: []string{"Gemm"}, settings: pass.QuantSettings{BlockSize: 32},
		model: `g (float[4,80] x, float[64,80] w1, float[64] w2, float[64,48] w3) => (float[4,48] y) { a = Gemm<transB=1>(x, w1, w2) y = MatMul(a, w3) }`},
	{name: "blocks of four bits", preset: "weights", has: []string{"DequantizeLinear"}, lacks: []string{"Cast"}, settings: pass.QuantSettings{BlockSize: 16, WeightBits: 4, MinSQNR: -1},
		model: `g (float[3,4,80] x, float[80,24] w1) => (float[3,4,24] y) { y = MatMul(x, w1) }`},
	{name: "MatMulNBits", preset: "weights", has: []string{"MatMulNBits"}, lacks: []string{"MatMul", "Gemm"}, settings: pass.QuantSettings{BlockSize: 32, WeightBits: 4, NBits: true, MinSQNR: -1},
		model: `g (float[4,80] x, float[24,80] w1, float[24] w2, float[24,48] w3) => (float[4,48] y) { a = Gemm<transB=1>(x, w1, w2) r = Relu(a) y = MatMul(r, w3) }`},
	{name: "MatMulNBits of eight bits", preset: "weights", has: []string{"MatMulNBits"}, settings: pass.QuantSettings{BlockSize: 16, NBits: true},
		model: `g (float[2,4,80] x, float[80,24] w1) => (float[2,4,24] y) { y = MatMul(x, w1) }`},
	{name: "weights only", preset: "weights", has: []string{"Cast"}, lacks: []string{"QuantizeLinear"},
		model: `g (float[4,64] x, float[64,32] w1) => (float[4,32] y) { y = MatMul(x, w1) }`},
	{name: "dynamic", preset: "dynamic", has: []string{"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"},
		model: `g (float[1,8,8,8] x, float[16,8,3,3] w1, float[16] w2, float[32,576] w3, float[32] w4) => (float[1,32] y) { a = Conv(x, w1, w2) f = Flatten(a) y = Gemm<transB=1>(f, w3, w4) }`},
	{name: "float16", preset: "float16", has: []string{"Cast"}, settings: pass.QuantSettings{MinSQNR: 50},
		model: `g (float[1,8,8,8] x, float[16,8,3,3] w1, float[16] w2) => (float[1,16,6,6] y) { a = Conv(x, w1, w2) y = Relu(a) }`},
}

// quantizeCase parses a model and makes random weights of its inputs w*, random
// defaults of k*, and a sample of the others.
func quantizeCase(t *testing.T, text string) (*graph.Model, *oneSample) {
	t.Helper()
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]> ` + text)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	src := &oneSample{}
	for _, v := range append([]*graph.Value{}, m.Graph.Inputs()...) {
		x := randomValue(rng, v)
		switch v.Name[0] {
		case 'w', 'k':
			m.Graph.SetDefault(v, &graph.Data{Tensor: x})
			if v.Name[0] == 'w' {
				m.Graph.RemoveInput(v)
			}
		default:
			src.values = append(src.values, x)
		}
	}
	return m, src
}

func TestQuantizeForms(t *testing.T) {
	for _, c := range quantizeCases {
		t.Run(c.name, func(t *testing.T) {
			m, src := quantizeCase(t, c.model)
			want := runOnce(t, m, src.values)
			list, err := Pipeline(c.preset)
			if err != nil {
				t.Fatal(err)
			}
			o := pass.Options{Settings: pass.Settings{Quant: c.settings}}
			if c.preset == "int8" || c.settings.BlockSize == 32 {
				o.Samples = src
			}
			ledger, err := pass.Run(context.Background(), m, list, o)
			if err != nil {
				t.Fatal(err)
			}
			if errs := op.Verify(m); len(errs) > 0 {
				t.Fatal(errs[0])
			}
			for i, y := range runOnce(t, m, src.values[:len(src.values)]) {
				if db, least := decibels(want[i], y), leastOf(c.settings); db < least {
					t.Errorf("output %d: SQNR %.1f dB, want %.0f\n%v", i, db, least, ledger.Entries)
				}
			}
			checkForm(t, m, c.has, c.lacks)
			for _, f := range quant.Lint(m, &quant.Profiles[0]) {
				if f.Verdict == quant.Refused && c.settings.WeightBits == 0 && c.settings.BlockSize == 0 {
					t.Errorf("portable refuses %v", f)
				}
				if f.Verdict == quant.Requantized {
					t.Errorf("onnxruntime quantizes %v", f)
				}
			}
		})
	}
}

// TestLintRequantized: layers whose float weight onnxruntime rounds when it loads the model.
func TestLintRequantized(t *testing.T) {
	const head, weights = "g (uint8[1,2,8,8] x) => (uint8[1,2,8,8] y) ", "<float s = {0.1}, uint8 z = {128}, float[2,2,1,1] w = {1,2,3,4}, float[2] b = {1,2}, float16[2,2,1,1] h = {1,2,3,4}, float[2] s2 = {0.1,0.1}, uint8[2] z2 = {128,128}> "
	for _, c := range []struct {
		body string
		want bool
	}{
		{"{ d = DequantizeLinear(x, s, z) c = Conv(d, w, b) y = QuantizeLinear(c, s, z) }", true},
		{"{ d = DequantizeLinear(x, s, z) v = Cast<to=1>(h) c = Conv(d, v) r = Relu(c) y = QuantizeLinear(r, s, z) }", true},
		{"{ d = DequantizeLinear(x, s, z) p = MaxPool<kernel_shape=[1,1]>(d) c = Conv(p, w) y = QuantizeLinear(c, s, z) }", true},
		{"{ d = DequantizeLinear(x, s2, z2) c = Conv(d, w, b) y = QuantizeLinear(c, s, z) }", false},
		{"{ d = DequantizeLinear(x, s, z) c = Conv(d, w, b) t = Tanh(c) y = QuantizeLinear(t, s, z) }", false},
		{"{ d = DequantizeLinear(x, s, z) c = Conv(d, w, b) q = QuantizeLinear(c, s, z) e = Abs(c) y = QuantizeLinear(e, s, z) }", false},
	} {
		m := parseCase(t, head+weights+c.body)
		got := false
		for _, f := range quant.Lint(m, &quant.Profiles[1]) {
			got = got || f.Verdict == quant.Requantized
		}
		if got != c.want {
			t.Errorf("%s: requantized %v, want %v", c.body, got, c.want)
		}
	}
}

// TestDepthwisePadding: OpenCV 5.0 pads the last pixels of some planes with 0
// instead of the zero point, so that a portable file has such a Conv in float.
func TestDepthwisePadding(t *testing.T) {
	for _, c := range []struct {
		name, model string
		float       bool
	}{
		{"a multiple of eight pixels", `g (float[1,16,4,6] x, float[16,1,3,3] w1) => (float[1,16,4,6] y) { y = Conv<group=16, pads=[1,1,1,1]>(x, w1) }`, false},
		{"another number", `g (float[1,16,5,5] x, float[16,1,3,3] w1) => (float[1,16,5,5] y) { y = Conv<group=16, pads=[1,1,1,1]>(x, w1) }`, true},
		{"nothing to pad", `g (float[1,16,7,7] x, float[16,1,3,3] w1) => (float[1,16,5,5] y) { y = Conv<group=16>(x, w1) }`, false},
		{"channels mixed", `g (float[1,16,5,5] x, float[16,2,3,3] w1) => (float[1,16,5,5] y) { y = Conv<group=8, pads=[1,1,1,1]>(x, w1) }`, false},
		{"zero point 0", `g (float[1,16,5,5] x, float[16,16,1,1] w1, float[16,1,3,3] w2) => (float[1,16,5,5] y) { a = Conv(x, w1) r = Relu(a) y = Conv<group=16, pads=[1,1,1,1]>(r, w2) }`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, src := quantizeCase(t, c.model)
			list, err := Pipeline("int8")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pass.Run(context.Background(), m, list, pass.Options{Samples: src}); err != nil {
				t.Fatal(err)
			}
			for n := range m.Graph.Nodes() {
				if d := n.In(0).Def(); n.Is("Conv") && n.Int("group", 1) > 1 && (d == nil || !d.Is("DequantizeLinear")) != c.float {
					t.Errorf("\n%s", graph.Text(m))
				}
			}
			for _, f := range quant.Lint(m, &quant.Profiles[0]) {
				if f.Verdict == quant.Refused {
					t.Errorf("portable refuses %v", f)
				}
			}
		})
	}
}

func leastOf(s pass.QuantSettings) float64 {
	switch {
	case s.MinSQNR < 0:
		return 12
	case s.MinSQNR > 0:
		return s.MinSQNR
	}
	return 28
}

// checkForm looks for operators, float weights left behind, and
// DequantizeLinear with several readers.
func checkForm(t *testing.T, m *graph.Model, has, lacks []string) {
	t.Helper()
	ops := map[string]bool{}
	for n := range m.Graph.All() {
		ops[n.Op] = true
		if n.Is("DequantizeLinear") && len(n.Out(0).Uses()) != 1 {
			t.Errorf("%s has %d readers", n.Title(), len(n.Out(0).Uses()))
		}
	}
	for _, name := range has {
		if !ops[name] {
			t.Errorf("no %s in\n%s", name, graph.Text(m))
		}
	}
	for _, name := range lacks {
		if ops[name] {
			t.Errorf("%s in\n%s", name, graph.Text(m))
		}
	}
	for v := range m.Graph.Initializers() {
		if x := v.Const(); x != nil && x.Type == tensor.Float32 && x.Len() >= 512 && !strings.HasPrefix(v.Name, "s") {
			t.Errorf("%s is left in float32", v.Name)
		}
	}
}

// oneSample is one sample, given twice.
type oneSample struct{ values []*tensor.Tensor }

func (r *oneSample) Len() int       { return 2 }
func (r *oneSample) BatchSize() int { return 1 }
func (r *oneSample) Values(from, to int) ([]tensor.Value, error) {
	out := make([]tensor.Value, len(r.values))
	for i, v := range r.values {
		out[i] = v
	}
	return out, nil
}

// randomValue is normal, zeros and ones for a mask m, small for indices.
func randomValue(rng *rand.Rand, v *graph.Value) *tensor.Tensor {
	var shape []int
	n := 1
	for _, d := range v.Type.Shape {
		k, _ := d.Const()
		shape, n = append(shape, int(k)), n*int(k)
	}
	if v.Type.Elem == tensor.Int64 {
		x := make([]int64, n)
		for i := range x {
			x[i] = rng.Int64N(50)
		}
		return tensor.Of(shape, x)
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
		if v.Name == "m" {
			x[i] = float32(min(i%8, 1)) // its logarithm is -inf in the first column
		}
		if v.Name[0] == 'w' || v.Name[0] == 'k' {
			x[i] /= 6
		}
	}
	return tensor.Of(shape, x)
}

func runOnce(t *testing.T, m *graph.Model, in []*tensor.Tensor) []*tensor.Tensor {
	t.Helper()
	s, err := runtime.Compile(m, runtime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	values := make([]tensor.Value, len(in))
	for i := range in {
		values[i] = in[i]
	}
	for len(values) < len(m.Graph.Inputs()) {
		values = append(values, nil)
	}
	out, err := s.Run(context.Background(), values)
	if err != nil {
		t.Fatal(err)
	}
	var list []*tensor.Tensor
	for _, v := range out {
		list = append(list, v.(*tensor.Tensor))
	}
	return list
}

func decibels(a, b *tensor.Tensor) float64 {
	signal, noise := 0.0, 1e-20
	x, y := a.Float32s(), b.Float32s()
	for i := range x {
		signal += float64(x[i]) * float64(x[i])
		noise += float64(x[i]-y[i]) * float64(x[i]-y[i])
	}
	return 10 * math.Log10(signal/noise)
}

// In half precision only casts to float32 become casts to 16 bits.
func TestHalfKeepsCasts(t *testing.T) {
	m := parseCase(t, "g (float[2] x) => (int64[2] y, float[2] z) { a = Relu(x) y = Cast<to = 7>(a) b = Cast<to = 11>(a) c = Exp(b) d = Cast<to = 1>(c) z = Neg(d) }")
	before := m.Clone()
	list, err := Pipeline("float16")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pass.Run(context.Background(), m, list, pass.Options{}); err != nil {
		t.Fatal(err)
	}
	valid(t, m)
	in := randomInputs(t, before)
	want, err := reference(before, in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := reference(m, in)
	if err != nil {
		t.Fatal(err)
	}
	if err := graphtest.Agree(want, got, 0.01); err != nil {
		t.Error(err)
	}
}

// TestHalfOfConstantOutput: a constant that is an output stays float32, and is
// cast for what reads it in float16.
func TestHalfOfConstantOutput(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 10, opset_import: ["": 14]>
	g (float[8] x) => (float[1] y, float[8] z) <float[1] k = {0.5}> { a = Softmax(x) y = Relu(k) z = Max(y, a, a) }`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Pipeline("float16")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pass.Run(context.Background(), m, list, pass.Options{}); err != nil {
		t.Fatal(err)
	}
	valid(t, m)
	if _, err := reference(m, []tensor.Value{tensor.Vector[float32](1, 2, 3, 4, 5, 6, 7, 8)}); err != nil {
		t.Fatalf("%v\n%s", err, text(m))
	}
}

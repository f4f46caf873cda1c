package grad

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
)

// cases is small graphs; their float inputs become parameters with random
// values in [-1, 1], in [0.5, 1.5] if the name begins with p. opset is 20
// unless the body begins with a number and a colon.
var cases = []string{
	"(float[3,4] a, float[4,5] b, float[5] c) => (float[3,5] y) { y = Gemm <alpha = 0.5, beta = 2.0> (a, b, c) }",
	"(float[4,3] a, float[5,4] b, float[3,1] c) => (float[3,5] y) { y = Gemm <transA = 1, transB = 1> (a, b, c) }",
	"(float[3,4] a, float[5,4] b) => (float[3,5] y) { y = Gemm <transB = 1> (a, b) }",
	"(float[4,3] a, float[4,5] b) => (float[3,5] y) { y = Gemm <transA = 1> (a, b) }",
	"(float[2,1,3,4] a, float[3,4,5] b) => (float[2,3,3,5] y) { y = MatMul (a, b) }",
	"(float[2,3,4] a, float[4,5] b) => (float[2,3,5] y) { y = MatMul (a, b) }",
	"(float[2,3,4] a, float[4] b) => (float[2,3] y) { y = MatMul (a, b) }",
	"(float[4] a, float[4,5] b) => (float[5] y) { y = MatMul (a, b) }",
	"(float[4,4] a) => (float[4,4] y) { y = MatMul (a, a) }",
	"(float[2,3,6,7] x, float[4,3,3,2] w, float[4] b) => (float[N,4,A,B] y) { y = Conv <pads = [1,0,2,1], strides = [2,1]> (x, w, b) }",
	"(float[2,4,7,7] x, float[6,2,3,3] w) => (float[N,6,A,B] y) { y = Conv <group = 2, dilations = [2,1], auto_pad = \"SAME_UPPER\"> (x, w) }",
	"(float[2,3,6,6] x, float[3,1,3,3] w, float[3] b) => (float[N,3,A,B] y) { y = Conv <group = 3, pads = [1,1,1,1], strides = [2,2]> (x, w, b) }",
	"(float[2,3,9] x, float[4,3,3] w) => (float[N,4,A] y) { y = Conv <dilations = [2], pads = [2,2]> (x, w) }",
	"(float[1,2,3,4,3] x, float[2,2,2,2,2] w) => (float[N,2,A,B,C] y) { y = Conv (x, w) }",
	"(float[2,3,4,4] x, float[3,2,3,3] w, float[2] b) => (float[N,2,A,B] y) { y = ConvTranspose <strides = [2,2], pads = [1,1,0,1], output_padding = [1,0]> (x, w, b) }",
	"(float[2,4,5] x, float[4,2,3] w) => (float[N,4,A] y) { y = ConvTranspose <group = 2, dilations = [2], strides = [2]> (x, w) }",
	"(float[2,3] x, float[3] b) => (float[2,3] y) { y = Add (x, b) }",
	"(float[2,1,3] x, float[4,1] b) => (float[2,4,3] y) { y = Add (x, b) }",
	"(float[3] x, float[2,3] b) => (float[2,3] y) { y = Sub (x, b) }",
	"(float[2,3] x, float[2,3] b) => (float[2,3] y) { y = Mul (x, b) }",
	"(float[2,3] x) => (float[2,3] y) { y = Mul (x, x) }",
	"(float[2,3] x, float[2,1] p) => (float[2,3] y) { y = Div (x, p) }",
	"(float[2,3] p, float[3] b) => (float[2,3] y) { y = Pow (p, b) }",
	"(float[2,3,2] x, float[3,1] p) => (float[2,3,2] y) { y = PRelu (x, p) }",
	"(float[2,3] x, float[3] a, float[2,1] b) => (float[2,3] y) { y = Min (x, a, b) }",
	"(float[2,3] x, float[3] a, float[2,1] b) => (float[2,3] y) { y = Max (x, a, b) }",
	"(float[2,3] x, float[3] a, float[2,1] b) => (float[2,3] y) { y = Sum (x, a, b) }",
	"(float[2,3] x, float[3] a) => (float[2,3] y) { y = Mean (x, a) }",
	"(float[2,3] x, float[3] a) => (float[2,3] y) <bool[2,1] c = {1,0}> { y = Where (c, x, a) }",
	"(float[2,3] x, float[3] a) => (float[2,3] y) { c = Less (x, a) y = Where (c, x, a) }",
	"(float[2,9] x) => (float[2,9] y) { y = Relu (x) }",
	"(float[2,9] x) => (float[2,9] z) { y = Relu (x) z = Add (y, x) }",
	"(float[2,9] x) => (float[2,9] y) <float lo = {-0.5}, float hi = {0.25}> { y = Clip (x, lo, hi) }",
	"(float[9] x) => (float[9] y) { y = Abs (x) }", "(float[9] x) => (float[9] y) { y = Neg (x) }",
	"(float[9] p) => (float[9] y) { y = Reciprocal (p) }", "(float[9] p) => (float[9] y) { y = Sqrt (p) }",
	"(float[9] x) => (float[9] y) { y = Exp (x) }", "(float[9] p) => (float[9] y) { y = Log (p) }",
	"(float[9] x) => (float[9] y) { y = Erf (x) }", "(float[9] x) => (float[9] y) { y = Sin (x) }",
	"(float[9] x) => (float[9] y) { y = Cos (x) }", "(float[9] x) => (float[9] y) { y = Tanh (x) }",
	"(float[9] x) => (float[9] y) { y = Sigmoid (x) }", "(float[9] x) => (float[9] y) { y = Softplus (x) }",
	"(float[9] x) => (float[9] y) { y = Softsign (x) }", "(float[9] x) => (float[9] y) { y = Gelu (x) }",
	"(float[9] x) => (float[9] y) { y = Gelu <approximate = \"tanh\"> (x) }", "(float[9] x) => (float[9] y) { y = Mish (x) }",
	"(float[9] x) => (float[9] y) { y = LeakyRelu <alpha = 0.25> (x) }", "(float[9] x) => (float[9] y) { y = Elu <alpha = 0.5> (x) }",
	"(float[9] x) => (float[9] y) { y = Selu (x) }", "(float[9] x) => (float[9] y) { y = Celu <alpha = 0.5> (x) }",
	"(float[9] x) => (float[9] y) { y = HardSigmoid <alpha = 0.75> (x) }", "(float[9] x) => (float[9] z) <float k = {5.0}> { y = Mul (x, k) z = HardSwish (y) }",
	"24:(float[9] x) => (float[9] y) { y = Swish <alpha = 1.5> (x) }",
	"(float[2,3,4] x) => (float[2,3,4] y) { y = Softmax <axis = 1> (x) }", "11:(float[2,3,4] x) => (float[2,3,4] y) { y = Softmax <axis = 1> (x) }",
	"(float[2,3,4] x) => (float[2,3,4] y) { y = LogSoftmax (x) }",
	"(float[2,3,2,2] x, float[3] s, float[3] b, float[3] m, float[3] p) => (float[2,3,2,2] y) { y = BatchNormalization (x, s, b, m, p) }",
	"(float[2,3,2,2] x, float[3] s, float[3] b) => (float[2,3,2,2] y) <float[3] m = {0,0,0}, float[3] v = {1,1,1}> { y, rm, rv = BatchNormalization <training_mode = 1> (x, s, b, m, v) }",
	"(float[2,3,4] x, float[4] s, float[4] b) => (float[2,3,4] y) { y = LayerNormalization (x, s, b) }",
	"(float[2,3,4] x, float[3,4] s) => (float[2,3,4] y) { y = LayerNormalization <axis = 1> (x, s) }",
	"23:(float[2,3,4] x, float[4] s) => (float[2,3,4] y) { y = RMSNormalization (x, s) }",
	"(float[2,3,4] x, float[3] s, float[3] b) => (float[2,3,4] y) { y = InstanceNormalization (x, s, b) }",
	"21:(float[2,4,3] x, float[4] s, float[4] b) => (float[2,4,3] y) { y = GroupNormalization <num_groups = 2> (x, s, b) }",
	"(float[2,2,5,5] x) => (float[2,2,A,B] y) { y = MaxPool <kernel_shape = [3,2], strides = [2,1], pads = [1,0,1,0]> (x) }",
	"(float[2,2,4,4] x) => (float[2,2,2,2] y) { y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) }",
	"(float[1,2,9,10] x) => (float[1,2,4,5] y) { y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) }",
	"(float[2,2,5,5] x) => (float[2,2,A,B] y) { y = AveragePool <kernel_shape = [3,2], strides = [2,1], pads = [1,0,1,0]> (x) }",
	"(float[2,2,5,5] x) => (float[2,2,A,B] y) { y = AveragePool <kernel_shape = [2,2], strides = [2,2], ceil_mode = 1, count_include_pad = 1, pads = [1,1,1,1]> (x) }",
	"(float[2,3,2,3] x) => (float[2,3,1,1] y) { y = GlobalAveragePool (x) }", "(float[2,3,2,3] x) => (float[2,3,1,1] y) { y = GlobalMaxPool (x) }",
	"(float[2,3,4] x) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceSum (x, a) }",
	"(float[2,3,4] x) => (float[3] y) <int64[2] a = {0,-1}> { y = ReduceMean <keepdims = 0> (x, a) }",
	"17:(float[2,3,4] x) => (float[3] y) { y = ReduceMean <keepdims = 0, axes = [0,2]> (x) }",
	"(float[2,3,4] x) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceMax (x, a) }", "(float[2,3,4] x) => (float[1,1,1] y) { y = ReduceMin (x) }",
	"(float[2,3,4] x) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceProd (x, a) }",
	"(float[2,3,4] x) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceL1 (x, a) }", "(float[2,3,4] x) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceL2 (x, a) }",
	"(float[2,3,4] x) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceSumSquare (x, a) }",
	"(float[2,3,4] p) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceLogSum (p, a) }", "(float[2,3,4] x) => (float[2,1,4] y) <int64[1] a = {1}> { y = ReduceLogSumExp (x, a) }",
	"(float[2,3] x) => (float[2,3] y) { y = Identity (x) }",
	"(float[2,3] x) => (float[3,2] z) <int64[2] s = {3,-1}> { y = Reshape (x, s) z = Exp (y) }",
	"(float[2,3,2] x) => (float[2,6] z) { y = Flatten (x) u = Exp (y) v = Sin (x) w = Flatten (v) z = Add (u, w) }",
	"(float[2,1,3] x) => (float[2,3] y) <int64[1] a = {1}> { y = Squeeze (x, a) }", "(float[2,3] x) => (float[2,1,3] y) <int64[1] a = {1}> { y = Unsqueeze (x, a) }",
	"(float[2,3,4] x) => (float[4,2,3] y) { y = Transpose <perm = [2,0,1]> (x) }", "(float[2,3,5] x) => (float[3,2,5] y) { y = Transpose <perm = [1,0,2]> (x) }",
	"(float[2,3] x, float[2,2] a) => (float[2,5] y) { y = Concat <axis = 1> (x, a) }", "(float[2,3] x) => (float[2,6] y) { y = Concat <axis = 1> (x, x) }",
	"(float[2,5] x) => (float[2,2] y, float[2,3] z) <int64[2] s = {2,3}> { y, z = Split <axis = 1> (x, s) }",
	"(float[4,5] x) => (float[A,B] y) <int64[2] a = {0,4}, int64[2] b = {4,0}, int64[2] c = {0,1}, int64[2] d = {2,-1}> { y = Slice (x, a, b, c, d) }",
	"(float[2,3] x) => (float[4,5] y) <int64[4] s = {1,0,1,2}, float v = {3.5}> { y = Pad (x, s, v) }", "(float[3,4] x) => (float[5,6] y) <int64[4] s = {1,1,1,1}> { y = Pad <mode = \"reflect\"> (x, s) }",
	"(float[1,3] x) => (float[2,3] y) <int64[2] s = {2,3}> { y = Expand (x, s) }", "(float[2,3] x) => (float[4,3] y) <int64[2] s = {2,1}> { y = Tile (x, s) }",
	"(float[1,8,2,3] x) => (float[1,2,4,6] y) { y = DepthToSpace <blocksize = 2> (x) }", "(float[1,2,4,6] x) => (float[1,8,2,3] y) { y = SpaceToDepth <blocksize = 2> (x) }",
	"(float[3,4] x) => (float[3,4] y) { y = Trilu (x) }", "(float[2,3] x) => (float[2,2] y) <int64[2,2] i = {0,2,1,1}> { y = GatherElements <axis = 1> (x, i) }",
	"(float[2,3,2] x) => (float[2,2] y) <int64[2,2] i = {0,2,1,1}> { y = GatherND (x, i) }", "(float[2,3] x) => (float[2,3] y) { y = Dropout (x) }",
	"(float[4,3] x) => (float[2,2,3] y) <int64[2,2] i = {0,-1,2,0}> { y = Gather (x, i) }", "(float[2,4,2] x) => (float[2,3,2] y) <int64[3] i = {3,3,1}> { y = Gather <axis = 1> (x, i) }",
	"(float[2,3] x) => (float[2,3] y) { z = Exp (x) y = Cast <to = 1> (z) }",
	"(float[2,3] x) => (float[3,2] y) <int64[2] s = {3,2}> { k = Cast <to = 7> (x) i = Reshape (k, s) f = Cast <to = 1> (i) r = Reshape (x, s) y = Add (f, r) }",
	"(float[4,2,3] x, float[1,20,3] w, float[1,20,5] r, float[1,40] b, float[1,2,5] h, float[1,2,5] c) => (float[4,1,2,5] y, float[1,2,5] yh, float[1,2,5] yc) { y, yh, yc = LSTM <hidden_size = 5> (x, w, r, b, \"\", h, c) }",
	"(float[2,4,3] x, float[2,20,3] w, float[2,20,5] r) => (float[2,4,2,5] y) <int32[2] l = {3,4}> { y = LSTM <hidden_size = 5, direction = \"bidirectional\", layout = 1> (x, w, r, \"\", l) }",
	"(float[4,2,3] x, float[1,15,3] w, float[1,15,5] r, float[1,30] b, float[1,2,5] h) => (float[4,1,2,5] y, float[1,2,5] yh) { y, yh = GRU <hidden_size = 5> (x, w, r, b, \"\", h) }",
	"(float[4,2,3] x, float[2,15,3] w, float[2,15,5] r, float[2,30] b) => (float[2,2,5] yh) <int32[2] l = {2,4}> { \"\", yh = GRU <hidden_size = 5, direction = \"bidirectional\", linear_before_reset = 1> (x, w, r, b, l) }",
	"(float[4,2,3] x, float[1,5,3] w, float[1,5,5] r, float[1,10] b) => (float[4,1,2,5] y) { y = RNN <hidden_size = 5, direction = \"reverse\"> (x, w, r, b) }",
}

// load parses a case with its float inputs as initializers, of float or, for
// the oracle, of double.
func load(t *testing.T, text, elem string) *graph.Model {
	t.Helper()
	opset := "20"
	if head, rest, ok := strings.Cut(text, ":"); ok && !strings.Contains(head, "(") {
		opset, text = head, rest
	}
	text = strings.NewReplacer("float[", elem+"[", "float ", elem+" ").Replace(text)
	if elem == "double" {
		text = strings.ReplaceAll(text, "to = 1>", "to = 11>")
	}
	m, err := graph.Parse(`<ir_version: 9, opset_import: ["" : ` + opset + `]> g ` + text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	rng := rand.New(rand.NewPCG(7, 0))
	for _, v := range slices.Clone(m.Graph.Inputs()) {
		shape := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			shape[i] = fixed(d.Const())
		}
		data := make([]float64, count(shape))
		for i := range data {
			data[i] = float64(float32(rng.Float64()*2 - 1))
			if strings.HasPrefix(v.Name, "p") {
				data[i] = math.Abs(data[i]) + 0.5
			}
		}
		m.Graph.SetDefault(v, &graph.Data{Tensor: tensor.FromFloats(v.Type.Elem, shape, data)})
		m.Graph.RemoveInput(v)
	}
	return m
}

func fixed(n int64, _ bool) int { return int(n) }

// TestRules checks each rule against central differences of the reference
// evaluation in float64.
func TestRules(t *testing.T) {
	tested := map[string]bool{}
	for _, text := range cases {
		m := load(t, text, "float")
		name := []string{}
		for n := range m.Graph.Nodes() {
			tested[n.Op] = true
			name = append(name, n.Op)
		}
		t.Run(strings.Join(name, "-"), func(t *testing.T) { checkGradients(t, m, load(t, text, "double")) })
	}
	for _, r := range Rules {
		if !tested[r.Op] {
			t.Errorf("rule %s has no case", r.Op)
		}
	}
}

func checkGradients(t *testing.T, m, oracle *graph.Model) {
	var params []*graph.Value
	for v := range m.Graph.Initializers() {
		if len(v.Name) < 3 && v.Data.Tensor.Type == tensor.Float32 && v.Data.Tensor.Len() > 1 {
			params = append(params, v)
		}
	}
	if n := findNode(m, "BatchNormalization"); n != nil && n.Int("training_mode", 0) != 0 {
		params = params[:3]
	}
	p, err := Compile(m, nil, Options{Params: params, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s, err := runtime.Compile(oracle, runtime.Options{Reference: true})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 0))
	var cotangent [][]float64
	for range 2 { // the second step must not depend on the first
		if err := p.Forward(); err != nil {
			t.Fatal(err)
		}
		cotangent = nil
		for i := range p.outputs {
			c := make([]float64, len(p.Output(i)))
			for j := range c {
				c[j] = rng.Float64()*2 - 1
				p.OutputGrad(i)[j] = float32(c[j])
			}
			cotangent = append(cotangent, c)
		}
		p.Backward()
	}
	loss := func() float64 {
		out, err := s.Run(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, o := range out {
			v := o.(*tensor.Tensor).Floats()
			if len(v) != len(p.Output(i)) {
				t.Fatalf("output %d has %d elements, want %d", i, len(p.Output(i)), len(v))
			}
			for j, x := range v {
				sum += x * cotangent[i][j]
			}
		}
		return sum
	}
	out, _ := s.Run(context.Background(), nil)
	for i, o := range out {
		for j, x := range o.(*tensor.Tensor).Floats() {
			if d := math.Abs(x - float64(p.Output(i)[j])); !(d <= 2e-6*max(1, math.Abs(x))) {
				t.Fatalf("output %d element %d is %v, want %v", i, j, p.Output(i)[j], x)
			}
		}
	}
	for _, q := range p.Params {
		if err := checkParam(q, oracle, loss); err != nil {
			t.Error(err)
		}
	}
}

func findNode(m *graph.Model, op string) *graph.Node {
	for n := range m.Graph.Nodes() {
		if n.Op == op {
			return n
		}
	}
	return nil
}

func checkParam(q *Param, oracle *graph.Model, loss func() float64) error {
	w := tensor.View[float64](oracle.Graph.Find(q.Name).Data.Tensor)
	const h = 1e-6
	scale := 0.0
	for _, g := range q.Grad {
		scale = max(scale, math.Abs(float64(g)))
	}
	for k := range min(len(w), 60) {
		i := k * len(w) / min(len(w), 60)
		old := w[i]
		w[i] = old + h
		up := loss()
		w[i] = old - h
		down := loss()
		w[i] = old
		if want := (up - down) / (2 * h); !(math.Abs(want-float64(q.Grad[i])) <= 1e-5*max(scale, 1)) {
			return fmt.Errorf("gradient of %s element %d is %v, want %v", q.Name, i, q.Grad[i], want)
		}
	}
	return nil
}

package runtime

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

func toHalf(t *tensor.Tensor) *tensor.Tensor { return narrowed(t).(*tensor.Tensor) }

// halfWeight is a float16 constant, drawn.
func halfWeight(r *rand.Rand, name string, shape ...int) string {
	return literal(name+"_", randomFloats(r, shape...)) + "  " + name + " = Cast <to = 10> (" + name + "_)\n"
}

// checkHalf compares the fast paths of float16 with the reference, within the
// rounding of three results, and across threads and runs whose memory is planned.
func checkHalf(t *testing.T, body, out string, in ...*tensor.Tensor) {
	t.Helper()
	want, _ := runText(t, body, in, out, Options{Reference: true})
	one, s := runText(t, body, in, out, Options{})
	if one.Type != want.Type || !slices.Equal(one.Shape, want.Shape) {
		t.Fatalf("got %v, want %v\n%s", one, want, body)
	}
	largest := 1e-3
	for _, x := range want.Floats() {
		largest = max(largest, math.Abs(x))
	}
	got := one.Floats()
	for i, x := range want.Floats() {
		if d := math.Abs(got[i] - x); !(d <= 3*largest/(1<<11)) {
			t.Fatalf("element %d is %v, want %v\n%s", i, got[i], x, body)
		}
	}
	three, _ := runText(t, body, in, out, Options{Threads: 3})
	var values []tensor.Value
	for _, x := range in {
		values = append(values, x)
	}
	again, err := steadyOutputs(s, values)
	if err != nil {
		t.Fatal(err)
	}
	if !three.Equal(one) || !again[0].(*tensor.Tensor).Equal(one) {
		t.Fatalf("another run or three threads give other bytes\n%s", body)
	}
}

// TestHalf runs float16 through every kind of fast path, past the edges to what has none,
// subgraphs and casts.
func TestHalf(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	x, v := toHalf(randomFloats(r, 2, 6, 9, 11)), toHalf(randomFloats(r, 3, 7, 48))
	w := halfWeight(r, "w", 6, 6, 3, 3) + halfWeight(r, "b", 6)
	conv := w + "  c = Conv <pads = [1,1,1,1]> (x0, w, b)\n"
	for _, body := range []string{
		conv + "  y = Relu (c)\n",
		conv + "  s = Sigmoid (c)\n  y = Mul (c, s)\n",
		conv + "  d = Add (c, x0)\n  y = Relu (d)\n",
		conv + "  p = MaxPool <kernel_shape = [2,2]> (c)\n  y = AveragePool <kernel_shape = [2,2]> (p)\n",
		conv + "  y = GlobalAveragePool (c)\n",
		conv + "  d = Concat <axis = 1> (c, x0)\n  y, z = Split <axis = 1, num_outputs = 2> (d)\n",
		conv + "  d = Mod <fmod = 1> (c, x0)\n  y = HardSwish (d)\n", // no fast path
		conv + "  y = BatchNormalization (c, b, b, b, one)\n",
		conv + "  y = InstanceNormalization (c, b, b)\n",
		halfWeight(r, "u", 6, 5, 2, 2) + "  y = ConvTranspose <strides = [2,2]> (x0, u)\n",
		"  k = Cast <to = 1> (x0)\n  s = Exp (k)\n  y = Cast <to = 10> (s)\n",
		"  t = Transpose <perm = [0,2,3,1]> (x0)\n  k = Cast <to = 7> (t)\n  y = Cast <to = 10> (k)\n",
	} {
		checkHalf(t, "  one_ = Constant <value = float[6] {1,2,3,1,2,3}> ()\n  one = Cast <to = 10> (one_)\n"+body, "float16", x)
	}
	m := halfWeight(r, "w", 48, 40) + halfWeight(r, "b", 40) + halfWeight(r, "g", 48)
	for _, body := range []string{
		"  y = LeakyRelu (x0)\n", "  y = Einsum <equation = \"bij,bkj->kbi\"> (x0, x0)\n", "  y = Softmax (x0)\n", "  y = LayerNormalization (x0, g, g)\n",
		"  c = MatMul (x0, w)\n  d = Add (c, b)\n  y = Relu (d)\n",
		"  t = Transpose <perm = [0,2,1]> (x0)\n  c = MatMul (x0, t)\n  y = Softmax (c)\n",
		"  k = Constant <value = bool {1}> ()\n  c = MatMul (x0, w)\n" +
			"  y = If (k) <then_branch = t () => (float16[3,7,40] p) { p = Add (c, b) }, else_branch = e () => (float16[3,7,40] q) { q = Identity (c) }>\n",
	} {
		checkHalf(t, m+body, "float16", v)
	}
	checkHalf(t, m+"  c = MatMul (x0, w)\n  y = Cast <to = 1> (c)\n", "float", v)
}

// TestHalfDefaults: an input with a default is converted whether it is given or not,
// and observers see float16.
func TestHalfDefaults(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 18]>
g (float16[2] x, float16[2] w = {1.0, 2.0}) => (float16[2] z) {
	y = Mul (x, w)
	z = Add (y, w)
}`)
	if err != nil {
		t.Fatal(err)
	}
	var seen tensor.DType
	s, err := Compile(m, Options{Observe: func(_ *graph.Value, t tensor.Value) { seen = t.(*tensor.Tensor).Type }})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.FromFloats(tensor.Float16, []int{2}, []float64{3, 4})
	for _, c := range []struct {
		w    tensor.Value
		want []float64
	}{{nil, []float64{4, 10}}, {x, []float64{12, 20}}, {nil, []float64{4, 10}}} {
		out, err := s.Run(context.Background(), []tensor.Value{x, c.w})
		if err != nil {
			t.Fatal(err)
		}
		if got := out[0].(*tensor.Tensor); got.Type != tensor.Float16 || !slices.Equal(got.Floats(), c.want) {
			t.Errorf("got %v %v, want %v", got, got.Floats(), c.want)
		}
	}
	if seen != tensor.Float16 {
		t.Errorf("the observer saw %v", seen)
	}
	if _, err := s.Run(context.Background(), []tensor.Value{widened(x)}); err == nil {
		t.Error("a float32 tensor for a float16 input is no error")
	}
}

// TestHalfSteady: a steady run on float16 allocates nothing.
func TestHalfSteady(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 2))
	m, err := graph.Parse("<ir_version: 8, opset_import: [\"\": 18]>\ng (float16[1,6,9,11] x) => (float16[1,6,9,11] y) {\n" + halfWeight(r, "w", 6, 6, 3, 3) +
		"  c = Conv <pads = [1,1,1,1]> (x, w)\n  s = Sigmoid (c)\n  d = Mul (c, s)\n  k = Cast <to = 1> (d)\n  e = Exp (k)\n  y = Cast <to = 10> (e)\n}")
	if err != nil {
		t.Fatal(err)
	}
	s, in, out := steady(t, m, 2)
	run := func() {
		if err := s.RunInto(context.Background(), in, out); err != nil {
			t.Fatal(err)
		}
	}
	run()
	run()
	n := testing.AllocsPerRun(1, run)
	for range 3 {
		n = min(n, testing.AllocsPerRun(1, run))
	}
	if n != 0 {
		t.Errorf("%v allocations in a run", n)
	}
}

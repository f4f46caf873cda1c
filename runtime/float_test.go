package runtime

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
)

func randomFloats(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range tensor.View[float32](t) {
		tensor.View[float32](t)[i] = float32(r.NormFloat64())
	}
	return t
}

// literal is a tensor as a Constant node.
func literal(name string, t *tensor.Tensor) string {
	var v []string
	for _, x := range t.Float32s() {
		v = append(v, fmt.Sprintf("%g", x))
	}
	return fmt.Sprintf("  %s = Constant <value = float%s {%s}> ()\n", name, strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ","), strings.Join(v, ", "))
}

// checkFast compares the fast paths with the reference, on one thread and on
// three, whose bytes must agree, and over runs whose memory is planned.
func checkFast(t *testing.T, body string, in ...*tensor.Tensor) {
	t.Helper()
	want, _ := runText(t, body, in, "float", Options{Reference: true})
	one, s := runText(t, body, in, "float", Options{})
	if err := closeTo(one, want); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	three, _ := runText(t, body, in, "float", Options{Threads: 3})
	var values []tensor.Value
	for _, x := range in {
		values = append(values, x)
	}
	for run := range 3 {
		out, err := s.Run(context.Background(), values)
		if run == 2 {
			out, err = steadyOutputs(s, values)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !out[0].(*tensor.Tensor).Equal(one) || !three.Equal(one) {
			t.Fatalf("another run or three threads give other bytes\n%s", body)
		}
	}
}

// closeTo allows 1e-4 of the largest element.
func closeTo(got, want *tensor.Tensor) error {
	if !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	largest := 1e-3
	for _, x := range want.Floats() {
		largest = max(largest, math.Abs(x))
	}
	values := got.Floats()
	for i, x := range want.Floats() {
		if d := math.Abs(values[i] - x); !(d <= 1e-4*largest) {
			return fmt.Errorf("element %d of %v is %v, want %v", i, want, values[i], x)
		}
	}
	return nil
}

// TestConvolutions draws convolutions of every kind - padded, strided, dilated,
// grouped, depthwise, of one axis, large enough for Winograd - with what fuses
// after them.
func TestConvolutions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	pick := func(v ...int) int { return v[r.IntN(len(v))] }
	for k := range 40 {
		group, n := pick(1, 1, 1, 2, 3), pick(1, 2)
		c, m := group*pick(1, 3, 8, 17), group*pick(1, 5, 16, 24)
		if k%4 == 0 { // depthwise
			group = pick(3, 16, 33)
			c, m = group, group
		}
		h, w := 5+r.IntN(12), 5+r.IntN(12)
		kernel, stride, dilation := []int{pick(1, 2, 3), pick(1, 3)}, []int{pick(1, 2), pick(1, 2)}, []int{pick(1, 1, 2), pick(1, 2)}
		if k%20 == 1 {
			group, c, m, h, w, kernel, stride, dilation = 1, 32, 32+16*(k%3), 16+r.IntN(6), 18, []int{3, 3}, []int{1, 1}, []int{1, 1}
		}
		pads := []int{r.IntN(3), r.IntN(3), r.IntN(2), r.IntN(2)}
		spatial, shape := 2, []int{n, c, h, w}
		if k%7 == 3 {
			spatial, shape, kernel, stride, dilation, pads = 1, []int{n, c, w}, kernel[1:], stride[1:], dilation[1:], []int{pads[1], pads[3]}
		}
		list := func(v []int) string { return strings.ReplaceAll(fmt.Sprint(v[:len(v)/spatial*spatial]), " ", ",") }
		weight := randomFloats(r, append([]int{m, c / group}, kernel...)...)
		body := literal("w", weight) + literal("b", randomFloats(r, m))
		conv := fmt.Sprintf("Conv <group = %d, strides = %s, dilations = %s, pads = %s> (x0, w, b)\n", group, list(stride), list(dilation), list(pads))
		other := fmt.Sprintf("Conv <group = %d, strides = %s, dilations = %s, pads = %s> (x0, w)\n", group, list(stride), list(dilation), list(pads))
		scale := append([]int{m}, slices.Repeat([]int{1}, spatial)...)
		switch k % 6 {
		case 0:
			body += "  y = " + conv
		case 1:
			body += "  c = " + conv + "  y = Relu (c)\n"
		case 2:
			body += "  c = " + conv + "  s = Sigmoid (c)\n  y = Mul (c, s)\n"
		case 3:
			body += "  c = " + conv + "  d = " + other + "  a = Add (c, d)\n  y = Relu (a)\n"
		case 4:
			body += literal("k", randomFloats(r, scale...)) + "  c = " + conv + "  a = Mul (k, c)\n  y = Add (a, k)\n"
		case 5:
			body += "  c = " + conv + "  d = Tanh (c)\n  y = Concat <axis = 1> (c, d)\n"
		}
		checkFast(t, body, randomFloats(r, shape...))
	}
}

func TestFastPaths(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	x := randomFloats(r, 2, 6, 9, 11)
	v := randomFloats(r, 3, 7, 48)
	m := literal("w", randomFloats(r, 48, 40)) + literal("b", randomFloats(r, 40)) + literal("g", randomFloats(r, 48))
	for _, body := range []string{
		"  y = MaxPool <kernel_shape = [3,2], strides = [2,1], pads = [1,0,1,1]> (x0)\n",
		"  y = AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x0)\n",
		"  y = AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1], count_include_pad = 1> (x0)\n",
		"  y = AveragePool <kernel_shape = [3,2], strides = [2,2], ceil_mode = 1> (x0)\n",
		"  y = GlobalAveragePool (x0)\n",
		literal("w", randomFloats(r, 6, 6, 1, 1)) + "  a = Tanh (x0)\n  c = Conv (a, w)\n  d = Add (c, a)\n  y = Relu (d)\n",
		literal("w", randomFloats(r, 6, 6, 3, 3)) + "  a = Tanh (x0)\n  c = Conv <pads = [1,1,1,1]> (a, w)\n  d = Add (a, c)\n  y = Sigmoid (d)\n",
		literal("w", randomFloats(r, 6, 5, 2, 2)) + "  y = ConvTranspose <strides = [2,2]> (x0, w)\n",
		literal("w", randomFloats(r, 6, 5, 3, 4)) + literal("b", randomFloats(r, 5)) + "  c = ConvTranspose <strides = [2,1], pads = [1,0,2,1], dilations = [1,2], output_padding = [1,0]> (x0, w, b)\n  y = Relu (c)\n",
		"  p = Constant <value = int64[8] {0,1,2,0,1,0,0,3}> ()\n  k = Constant <value = float {0.5}> ()\n  y = Pad (x0, p, k)\n",
		literal("w", randomFloats(r, 4, 6, 1, 1)) + "  p = Constant <value = int64[8] {0,1,2,0,0,0,0,3}> ()\n  c = Conv (x0, w)\n  y = Pad (c, p)\n",
		"  y = Transpose <perm = [0,2,3,1]> (x0)\n",
		"  y = Transpose <perm = [3,1,0,2]> (x0)\n",
		"  y = Transpose <perm = [2,0,3,1]> (x0)\n",
		"  a, b = Split <axis = 1, num_outputs = 2> (x0)\n  y = Sub (a, b)\n",
		literal("s", randomFloats(r, 6, 1, 1)) + "  y = Div (x0, s)\n",
		literal("s", randomFloats(r, 11)) + "  a = Mul (x0, s)\n  y = Relu (a)\n",
		literal("s", randomFloats(r, 9, 1)) + "  y = Add (s, x0)\n",
	} {
		checkFast(t, body, x)
	}
	for _, body := range []string{
		"  y = Softmax (x0)\n", "  y = LogSoftmax (x0)\n", "  y = Softmax <axis = 1> (x0)\n", "  y = LogSoftmax <axis = 0> (x0)\n",
		"  y = MatMul (x0, w)\n", "  c = MatMul (x0, w)\n  y = Add (c, b)\n",
		"  c = MatMul (x0, w)\n  d = Add (b, c)\n  e = MatMul (x0, w)\n  a = Add (d, e)\n  y = Tanh (a)\n",
		"  t = Transpose <perm = [0,2,1]> (x0)\n  y = MatMul (x0, t)\n",
		"  t = Transpose <perm = [0,2,1]> (x0)\n  c = MatMul (x0, t)\n  k = ReduceMax (c, two)\n  y = Add (c, k)\n",
		"  y = LayerNormalization (x0, g, g)\n",
		"  a = LeakyRelu <alpha = 0.1> (x0)\n  k = Constant <value = float {2.0}> ()\n  y = Pow (a, k)\n",
		"  c = MatMul (x0, w)\n  y = LeakyRelu (c)\n",
		"  y = Einsum <equation = \"bij, jk -> bik\"> (x0, w)\n", "  y = Einsum <equation = \"bij,bkj->kbi\"> (x0, x0)\n",
		"  y = Einsum <equation = \"bij,bij->i\"> (x0, x0)\n", "  y = Einsum <equation = \"bij,jk->kib\"> (x0, w)\n",
		"  y = Einsum <equation = \"bij,bij->bi\"> (x0, x0)\n", "  y = Einsum <equation = \"bij,jk->bk\"> (x0, w)\n",
		"  a = ReduceMean (x0, last)\n  d = Sub (x0, a)\n  p = Mul (d, d)\n  q = ReduceMean (p, last)\n  e = Constant <value = float {0.001}> ()\n" +
			"  s = Add (q, e)\n  u = Sqrt (s)\n  n = Div (d, u)\n  o = Mul (n, g)\n  y = Add (o, g)\n",
		"  k = Constant <value = float {1.41421356}> ()\n  h = Constant <value = float {0.5}> ()\n  i = Constant <value = float {1.0}> ()\n" +
			"  c = MatMul (x0, w)\n  d = Div (c, k)\n  e = Erf (d)\n  f = Add (e, i)\n  a = Mul (c, f)\n  y = Mul (a, h)\n",
	} {
		checkFast(t, m+"  two = Constant <value = int64[1] {2}> ()\n  last = Constant <value = int64[1] {-1}> ()\n"+body, v)
	}
}

// TestConvVolumes draws convolutions of three axes.
func TestConvVolumes(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	for k, attrs := range []string{"", "pads = [1,1,1,1,1,1]", "strides = [2,1,2], pads = [0,1,2,1,0,2]", "dilations = [1,2,2]", "group = 2", "group = 4, pads = [1,0,1,0,1,0]"} {
		group := max(1, []int{1, 1, 1, 1, 2, 4}[k])
		body := literal("w", randomFloats(r, 8, 4/group, 2, 3, 2)) + literal("b", randomFloats(r, 8)) + "  y = Conv <" + attrs + "> (x0, w, b)\n"
		checkFast(t, body, randomFloats(r, 2, 4, 5, 9, 31))
	}
}

// Normalization keeps the digits of values far from zero, whose spread is
// little or none.
func TestNormsFarFromZero(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	x := randomFloats(r, 4, 6, 1000)
	for i, v := range tensor.View[float32](x) {
		tensor.View[float32](x)[i] = 3.3 + v*float32([]float64{0, 1e-3, 1}[i/1000%3])
	}
	m := literal("s", randomFloats(r, 6)) + literal("g", randomFloats(r, 1000))
	checkFast(t, m+"  y = InstanceNormalization (x0, s, s)\n", x)
	checkFast(t, m+"  y = LayerNormalization (x0, g, g)\n", x)
}

// A session serves inputs of changing shapes, and its outputs stay as they are.
func TestChangingShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	text := `<ir_version: 8, opset_import: ["": 18]> g (float[N,3,H,W] x) => (float[N,C,A,B] y) {` + "\n" + literal("w", randomFloats(r, 5, 3, 3, 3)) +
		"  a = Conv <pads = [1,1,1,1]> (x, w)\n  b = Relu (a)\n  c = Sigmoid (b)\n  d = Add (a, c)\n  y = MaxPool <kernel_shape = [2,2]> (d)\n}"
	m, err := graph.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	fast, err := Compile(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := Compile(m, Options{Reference: true})
	if err != nil {
		t.Fatal(err)
	}
	var got, want []*tensor.Tensor
	for _, shape := range [][]int{{1, 3, 8, 8}, {1, 3, 8, 8}, {2, 3, 6, 10}, {1, 3, 8, 8}, {1, 3, 20, 4}, {2, 3, 6, 10}, {2, 3, 6, 10}} {
		x := randomFloats(r, shape...)
		for i, s := range []*Session{fast, reference} {
			out, err := s.Run(context.Background(), []tensor.Value{x})
			if err != nil {
				t.Fatal(err)
			}
			if list := []*[]*tensor.Tensor{&got, &want}[i]; true {
				*list = append(*list, out[0].(*tensor.Tensor))
			}
		}
	}
	for i := range got {
		if err := closeTo(got[i], want[i]); err != nil {
			t.Errorf("run %d: %v", i, err)
		}
	}
}

// The plan of a run keeps tensors that live at the same time apart.
func TestPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	for range 50 {
		plan, order := make([]placed, 40), make([]int, 40)
		for i := range plan {
			plan[i].tensor = tensor.New(tensor.Float32, 1+r.IntN(300))
			plan[i].born = r.IntN(30)
			plan[i].died = plan[i].born + r.IntN(8)
			order[i] = i
		}
		size := place(plan, order)
		for i, p := range plan {
			end := p.offset + len(p.tensor.Bytes())
			if p.offset%alignment != 0 || end > size {
				t.Fatalf("tensor %d at %d to %d of %d", i, p.offset, end, size)
			}
			for j, q := range plan[:i] {
				if p.born <= q.died && q.born <= p.died && p.offset < q.offset+len(q.tensor.Bytes()) && q.offset < end {
					t.Fatalf("tensors %d and %d overlap", i, j)
				}
			}
		}
	}
}

package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// text is a tensor as the text of a Constant.
func constantText(name string, t *tensor.Tensor) string {
	var b strings.Builder
	dims := strings.Trim(strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ","), "[]")
	if t.Rank() > 0 {
		dims = "[" + dims + "]"
	}
	fmt.Fprintf(&b, "\t%s = Constant <value = %v%s {", name, t.Type, dims)
	for i, v := range t.Floats() {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%v", v)
	}
	b.WriteString("}> ()\n")
	return b.String()
}

// randomQuantized is random elements of an 8-bit type.
func randomQuantized(r *rand.Rand, t tensor.DType, shape ...int) *tensor.Tensor {
	x := tensor.New(t, shape...)
	for i := range x.Bytes() {
		x.Bytes()[i] = byte(r.Uint32())
	}
	return x
}

func randomScales(r *rand.Rand, n int) *tensor.Tensor {
	v := make([]float32, n)
	for i := range v {
		v[i] = 0.001 + r.Float32()*0.01
	}
	if n == 1 {
		return tensor.Scalar(v[0])
	}
	return tensor.Vector(v...)
}

// zeroOf is a random zero point, or one for each of n.
func zeroOf(r *rand.Rand, t tensor.DType, n int) *tensor.Tensor {
	if n == 1 {
		return randomQuantized(r, t)
	}
	return randomQuantized(r, t, n)
}

func runText(t *testing.T, body string, in []*tensor.Tensor, out string, o Options) (*tensor.Tensor, *Session) {
	t.Helper()
	var args []string
	var values []tensor.Value
	for i, x := range in {
		args = append(args, fmt.Sprintf("%v[%s] x%d", x.Type, strings.Trim(strings.ReplaceAll(fmt.Sprint(x.Shape), " ", ","), "[]"), i))
		values = append(values, x)
	}
	text := `<ir_version: 8, opset_import: ["": 18, "com.microsoft": 1]> g (` + strings.Join(args, ", ") + `) => (` + out + ` y) {` + "\n" + body + "}"
	m, err := graph.Parse(text)
	if err != nil {
		t.Fatal(err, text)
	}
	s, err := Compile(m, o)
	if err != nil {
		t.Fatal(err, text)
	}
	y, err := s.Run(context.Background(), values)
	if err != nil {
		t.Fatal(err, text)
	}
	return y[0].(*tensor.Tensor), s
}

// wantSame fails unless a chain between quantizers is fused and computes the
// bytes that the quantized operator's definition gives.
func wantSame(t *testing.T, constants, chain, operator, out string, in ...*tensor.Tensor) {
	t.Helper()
	want, _ := runText(t, constants+operator, in, out, Options{Reference: true})
	for _, fast := range []string{chain, operator} {
		for threads := 1; threads <= 3; threads += 2 {
			got, s := runText(t, constants+fast, in, out, Options{Threads: threads})
			if err := sameValue(got, want, 0, 0); err != nil {
				t.Fatalf("%d threads: %v\n%s", threads, err, fast)
			}
			if steps := slices.DeleteFunc(slices.Clone(s.main.steps), func(st step) bool { return st.path == "layout" }); len(steps) != 1 || steps[0].covered == nil {
				t.Fatalf("%d steps for\n%s", len(steps), fast)
			}
		}
	}
}

var eightBit = []tensor.DType{tensor.Uint8, tensor.Int8}

func TestIntegerConv(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		xt, wt, yt := eightBit[r.IntN(2)], eightBit[r.IntN(2)], eightBit[r.IntN(2)]
		group, cg, mg := 1, 1+r.IntN(20), 1+r.IntN(40)
		switch r.IntN(4) {
		case 0: // depthwise
			group, cg, mg = 2+r.IntN(70), 1, 1
		case 1:
			group = 1 + r.IntN(4)
		}
		c, m := cg*group, mg*group
		kh, kw, h, w := 1+r.IntN(3), 1+r.IntN(3), 5+r.IntN(6), 5+r.IntN(6)
		attrs := fmt.Sprintf("group = %d, strides = [%d,%d], dilations = [%d,%d], pads = [%d,%d,%d,%d]", group,
			1+r.IntN(2), 1+r.IntN(2), 1+r.IntN(2), 1+r.IntN(2), r.IntN(2), r.IntN(2), r.IntN(2), r.IntN(2))
		channels := 1
		if r.IntN(2) == 0 && m > 1 {
			channels = m
		}
		bias := make([]int32, m)
		for i := range bias {
			bias[i] = r.Int32N(10000) - 5000
		}
		xs, ws := randomScales(r, 1), randomScales(r, channels)
		bs := ws.Clone()
		for i := range tensor.View[float32](bs) {
			tensor.View[float32](bs)[i] *= xs.Float32s()[0]
		}
		wz := zeroOf(r, wt, channels)
		if r.IntN(2) == 0 {
			clear(wz.Bytes())
		}
		ys := tensor.Scalar(xs.Float32s()[0] * 0.5)
		constants := constantText("xs", xs) + constantText("xz", zeroOf(r, xt, 1)) + constantText("ws", ws) + constantText("wz", wz) +
			constantText("w", randomQuantized(r, wt, m, cg, kh, kw)) + constantText("b", tensor.Vector(bias...)) + constantText("bs", bs) +
			constantText("ys", ys) + constantText("yz", zeroOf(r, yt, 1))
		chain := fmt.Sprintf(`	xf = DequantizeLinear(x0, xs, xz)
	wf = DequantizeLinear <axis = 0> (w, ws, wz)
	bf = DequantizeLinear <axis = 0> (b, bs)
	yf = Conv <%s> (xf, wf, bf)
	y = QuantizeLinear(yf, ys, yz)
`, attrs)
		operator := fmt.Sprintf("\ty = QLinearConv <%s> (x0, xs, xz, w, ws, wz, ys, yz, b)\n", attrs)
		wantSame(t, constants, chain, operator, yt.String()+"[]", randomQuantized(r, xt, 1+r.IntN(2), c, h, w))
	}
}

func TestIntegerMatMul(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for round := range 60 {
		at, bt, yt := eightBit[r.IntN(2)], eightBit[r.IntN(2)], eightBit[r.IntN(2)]
		m, k, n := 1+r.IntN(20), 1+r.IntN(70), 1+r.IntN(70)
		columns := 1
		constant := round%2 == 0
		if constant && r.IntN(2) == 0 && n > 1 {
			columns = n
		}
		as, bs := randomScales(r, 1), randomScales(r, columns)
		in := []*tensor.Tensor{randomQuantized(r, at, 2, m, k)}
		constants := constantText("as", as) + constantText("az", zeroOf(r, at, 1)) + constantText("bs", bs) + constantText("bz", zeroOf(r, bt, columns)) +
			constantText("ys", tensor.Scalar(as.Float32s()[0]*0.3)) + constantText("yz", zeroOf(r, yt, 1))
		b := "x1"
		if constant {
			constants += constantText("b", randomQuantized(r, bt, k, n))
			b = "b"
		} else {
			in = append(in, randomQuantized(r, bt, []int{1, 2}[r.IntN(2)], k, n))
		}
		chain := fmt.Sprintf(`	af = DequantizeLinear(x0, as, az)
	bf = DequantizeLinear <axis = 1> (%s, bs, bz)
	yf = MatMul(af, bf)
	y = QuantizeLinear(yf, ys, yz)
`, b)
		operator := fmt.Sprintf("\ty = QLinearMatMul(x0, as, az, %s, bs, bz, ys, yz)\n", b)
		wantSame(t, constants, chain, operator, yt.String()+"[]", in...)
	}
}

// TestIntegerSums: ConvInteger and MatMulInteger, with the zero point of x at
// run time.
func TestIntegerSums(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		xt, wt := eightBit[r.IntN(2)], eightBit[r.IntN(2)]
		w := constantText("w", randomQuantized(r, wt, 17, 5, 3, 3)) + constantText("z", zeroOf(r, wt, 1))
		body := w + "\ty = ConvInteger <pads = [1,0,1,2]> (x0, w, x1, z)\n"
		in := []*tensor.Tensor{randomQuantized(r, xt, 2, 5, 6, 7), zeroOf(r, xt, 1)}
		if r.IntN(2) == 0 {
			body = constantText("w", randomQuantized(r, wt, 7, 33)) + constantText("z", zeroOf(r, wt, 1)) + "\ty = MatMulInteger(x0, w, x1, z)\n"
		}
		want, _ := runText(t, body, in, "int32[]", Options{Reference: true})
		got, _ := runText(t, body, in, "int32[]", Options{})
		if err := sameValue(got, want, 0, 0); err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
	}
}

// integerChains are chains whose bytes are those of the float operators, up to
// the given difference where that rounds twice.
var integerChains = []struct {
	name, body string
	shapes     [][]int
	most       int
}{
	{"sigmoid linear unit", "s = Sigmoid(a) f = Mul(a, s)", [][]int{{2, 3, 5, 7}}, 0},
	{"gelu", "r = Constant <value = float {1.4142135}> () h = Constant <value = float {0.5}> () o = Constant <value = float {1}> () d = Div(a, r) e = Erf(d) p = Add(e, o) q = Mul(a, p) f = Mul(q, h)", [][]int{{3, 70}}, 0},
	{"leaky", "f = LeakyRelu(a)", [][]int{{300}}, 0},
	{"requantize", "f = Identity(a)", [][]int{{300}}, 0},
	{"transpose", "f = Transpose <perm = [0,3,1,2]> (a)", [][]int{{2, 3, 4, 5}}, 0},
	{"maxpool", "f = MaxPool <kernel_shape = [3,2], pads = [1,0,1,1], strides = [2,1]> (a)", [][]int{{2, 20, 7, 6}}, 0},
	{"maxpool of few channels", "f = MaxPool <kernel_shape = [2,2], ceil_mode = 1, strides = [2,2]> (a)", [][]int{{1, 3, 7, 6}}, 0},
	{"concat", "f = Concat <axis = 1> (a, b)", [][]int{{2, 3, 4, 5}, {2, 6, 4, 5}}, 0},
	{"add", "f = Add(a, b)", [][]int{{2, 3, 4, 5}, {2, 3, 4, 5}}, 1},
	{"add relu", "g = Add(a, b) f = Relu(g)", [][]int{{2, 3, 4, 5}, {2, 3, 4, 5}}, 1},
	{"add row", "f = Add(a, b)", [][]int{{2, 40, 33}, {33}}, 1},
	{"add small first", "f = Add(a, b)", [][]int{{1, 1}, {40, 33}}, 1},
	{"scale channels", "f = Mul(a, b)", [][]int{{2, 20, 5, 6}, {2, 20, 1, 1}}, 1},
	{"mean of image", "f = GlobalAveragePool(a)", [][]int{{2, 20, 7, 6}}, 1},
	{"mean", "f = ReduceMean <keepdims = 0> (a, axes) axes = Constant <value = int64[2] {2,3}> ()", [][]int{{2, 20, 7, 6}}, 1},
	{"average", "f = AveragePool <kernel_shape = [2,2], strides = [2,2]> (a)", [][]int{{2, 20, 8, 6}}, 1},
}

func TestIntegerChains(t *testing.T) {
	for i, c := range integerChains {
		for _, dt := range eightBit {
			r := rand.New(rand.NewPCG(4, uint64(i)))
			z := map[tensor.DType]int{tensor.Uint8: 100, tensor.Int8: -20}[dt]
			body := fmt.Sprintf("s0 = Constant <value = float {0.031}> () z0 = Constant <value = %v {%d}> () s1 = Constant <value = float {0.027}> () z1 = Constant <value = %v {%d}> () a = DequantizeLinear(x0, s0, z0)\n", dt, z, dt, z+7)
			var in []*tensor.Tensor
			for _, shape := range c.shapes {
				in = append(in, randomQuantized(r, dt, shape...))
			}
			if len(in) > 1 {
				body += "b = DequantizeLinear(x1, s1, z1)\n"
			}
			nodes := c.body
			if before, after, ok := strings.Cut(nodes, ") axes"); ok {
				nodes = "axes" + after + " " + before + ")"
			}
			body += nodes + "\n y = QuantizeLinear(f, s1, z1)\n"
			want, _ := runText(t, body, in, dt.String()+"[]", Options{Reference: true})
			got, s := runText(t, body, in, dt.String()+"[]", Options{})
			if len(s.main.steps) > 2+len(in) {
				t.Errorf("%s: %d steps", c.name, len(s.main.steps))
			}
			if !slices.Equal(got.Shape, want.Shape) {
				t.Fatalf("%s: shape %v, want %v", c.name, got.Shape, want.Shape)
			}
			w := want.Ints()
			differ := 0
			for k, v := range got.Ints() {
				d := int(v - w[k])
				if d < -c.most || d > c.most {
					t.Fatalf("%s %v: element %d is %d, want %d", c.name, dt, k, v, w[k])
				}
				if d != 0 {
					differ++
				}
			}
			if differ > len(w)/50+1 {
				t.Errorf("%s %v: %d of %d elements differ", c.name, dt, differ, len(w))
			}
		}
	}
}

// TestIntegerConvTranspose: sums that float64 holds exactly, so the reference
// rounds but once more than the integers.
func TestIntegerConvTranspose(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 30 {
		xt, wt, yt := eightBit[r.IntN(2)], eightBit[r.IntN(2)], eightBit[r.IntN(2)]
		c, m, kh, kw := 1+r.IntN(9), 1+r.IntN(30), 1+r.IntN(3), 1+r.IntN(3)
		attrs := fmt.Sprintf("strides = [%d,%d], dilations = [%d,%d], pads = [0,0,%d,%d], output_padding = [0,%d]",
			1+r.IntN(3), 2+r.IntN(2), 1+r.IntN(2), 1+r.IntN(2), r.IntN(2), r.IntN(2), r.IntN(2))
		body := constantText("w", randomQuantized(r, wt, c, m, kh, kw)) + constantText("xz", zeroOf(r, xt, 1)) + constantText("wz", zeroOf(r, wt, 1)) +
			constantText("yz", zeroOf(r, yt, 1)) + fmt.Sprintf(`	xs = Constant <value = float {0.5}> () ws = Constant <value = float {0.25}> () ys = Constant <value = float {%d}> ()
	xf = DequantizeLinear(x0, xs, xz) wf = DequantizeLinear(w, ws, wz) yf = ConvTranspose <%s> (xf, wf) y = QuantizeLinear(yf, ys, yz)
`, 64<<r.IntN(3), attrs)
		in := []*tensor.Tensor{randomQuantized(r, xt, 1+r.IntN(2), c, 3+r.IntN(4), 3+r.IntN(4))}
		want, _ := runText(t, body, in, yt.String()+"[]", Options{Reference: true})
		got, s := runText(t, body, in, yt.String()+"[]", Options{})
		if err := sameValue(got, want, 0, 0); err != nil {
			t.Fatalf("%v\n%s", err, attrs)
		}
		if len(s.main.steps) > 3 {
			t.Errorf("%d steps", len(s.main.steps))
		}
	}
}

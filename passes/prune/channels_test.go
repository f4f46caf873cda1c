package prune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
)

// weights writes random initializers in the ONNX text syntax: "w[4,3] b[4]".
func weightsText(list string) string {
	rng := rand.New(rand.NewPCG(1, 1))
	var out []string
	for _, w := range strings.Fields(list) {
		name, dims, _ := strings.Cut(strings.TrimSuffix(w, "]"), "[")
		n := 1
		for _, d := range strings.Split(dims, ",") {
			var k int
			fmt.Sscan(d, &k)
			n *= k
		}
		var v []string
		for range n {
			v = append(v, fmt.Sprintf("%.4f", rng.NormFloat64()))
		}
		out = append(out, fmt.Sprintf("float[%s] %s = {%s}", dims, name, strings.Join(v, ",")))
	}
	return strings.Join(out, ", ")
}

// structures are graphs with coupled channels.
var structures = []struct {
	name, io, weights, consts, body string
	left                            int // parameters after half of the channels are gone
}{
	{"dense", "(float[N,6] x) => (float[N,3] y)", "w[8,6] b[8] v[3,8] d[3]", "",
		`h = Gemm <transB = 1> (x, w, b) r = Relu (h) y = Gemm <transB = 1> (r, v, d)`, 4*6 + 4 + 12 + 3},
	{"residual", "(float[N,2,6,6] x) => (float[N,3] y)", "s[8,2,3,3] a[8,8,3,3] e[8] b[8,8,1,1] v[3,8]", "",
		`t = Conv <pads = [1,1,1,1]> (x, s) p = Conv <pads = [1,1,1,1]> (t, a, e) q = Relu (p) u = Conv (q, b) z = Add (u, t)
		 g = GlobalAveragePool (z) f = Flatten (g) y = Gemm <transB = 1> (f, v)`, 4*18 + 4*4*9 + 4 + 16 + 12},
	{"depthwise", "(float[N,2,6,6] x) => (float[N,3] y)", "s[4,2,1,1] d[8,1,3,3] e[8] p[4,8,1,1] v[3,4]", "",
		`t = Conv (x, s) u = Conv <group = 4> (t, d, e) r = Clip (u) q = Conv (r, p) g = GlobalMaxPool (q) f = Flatten (g) y = Gemm <transB = 1> (f, v)`,
		2*2 + 4*9 + 4 + 2*4 + 6},
	{"groups", "(float[N,2,4,4] x) => (float[N,3] y)", "s[8,2,1,1] d[8,4,3,3] v[3,8]", "",
		`t = Conv (x, s) u = Conv <group = 2> (t, d) g = GlobalMaxPool (u) f = Flatten (g) y = Gemm <transB = 1> (f, v)`, 4*2 + 4*2*9 + 12},
	{"concat and flatten", "(float[N,2,4,4] x) => (float[N,3] y)", "a[4,2,1,1] b[6,2,1,1] v[3,192]", "",
		`p = Conv (x, a) q = Conv (x, b) c = Concat <axis = 1> (q, x, p) f = Flatten (c) y = Gemm <transB = 1> (f, v)`, 2*2 + 3*2 + 3*16*7},
	{"batch normalization", "(float[N,2,4,4] x) => (float[N,4,4,4] y)", "a[8,2,1,1] g[8] h[8] m[8] b[4,8,1,1]", "float[8] s = {1,2,1,2,1,2,1,2}",
		`p = Conv (x, a) q = BatchNormalization (p, g, h, m, s) r = Sigmoid (q) y = Conv (r, b)`, 8 + 16 + 16},
	{"attention", "(float[N,5,6] x) => (float[N,5,6] y)", "a[6,8] b[6,8] c[6,8] o[8,6]", "int64[4] t = {0,5,4,2}, int64[3] u = {0,5,8}, float k = {0.7}",
		`q = MatMul (x, a) q4 = Reshape (q, t) qt = Transpose <perm = [0,2,1,3]> (q4) p = MatMul (x, b) p4 = Reshape (p, t) pt = Transpose <perm = [0,2,3,1]> (p4)
		 v = MatMul (x, c) v4 = Reshape (v, t) vt = Transpose <perm = [0,2,1,3]> (v4) s = MatMul (qt, pt) sk = Mul (s, k) w = Softmax <axis = -1> (sk)
		 z = MatMul (w, vt) zt = Transpose <perm = [0,2,1,3]> (z) m = Reshape (zt, u) y = MatMul (m, o)`, 4*24 + 1},
	{"split gate", "(float[N,6] x) => (float[N,3] y)", "w[6,8] v[4,3]", "int64[2] n = {4,4}",
		`h = MatMul (x, w) a, b = Split <axis = 1> (h, n) g = Sigmoid (b) m = Mul (a, g) y = MatMul (m, v)`, 6*4 + 6},
	{"shuffle", "(float[N,2,3,3] x) => (float[N,3] y)", "a[8,2,1,1] v[3,8]", "int64[5] t = {0,2,4,3,3}, int64[4] u = {0,8,3,3}",
		`p = Conv (x, a) q = Reshape (p, t) r = Transpose <perm = [0,2,1,3,4]> (q) s = Reshape (r, u) g = GlobalAveragePool (s) f = Flatten (g) y = Gemm <transB = 1> (f, v)`, 4*2 + 12},
	{"tied", "(float[N,6] x) => (float[N,6] y)", "w[6,6]", "",
		`h = MatMul (x, w) r = Relu (h) y = MatMul (r, w)`, 36},
	{"output", "(float[N,6] x) => (float[N,8] y)", "w[6,8]", "", `y = MatMul (x, w)`, 48},
	{"unknown operator", "(float[N,6] x) => (y)", "w[6,8] v[8,3]", "", `h = MatMul (x, w) k = my.Op (h) y = MatMul (h, v)`, 72},
	{"normalization", "(float[N,6] x) => (float[N,3] y)", "w[6,8] s[8] v[8,3]", "",
		`h = MatMul (x, w) n = LayerNormalization <axis = -1> (h, s) y = MatMul (n, v)`, 80},
}

func parse(t *testing.T, text string) *graph.Model {
	t.Helper()
	m, err := graph.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// random is inputs of a model, symbols being 3.
func random(m *graph.Model) []tensor.Value {
	rng := rand.New(rand.NewPCG(2, 2))
	var in []tensor.Value
	for _, v := range m.Graph.Inputs() {
		var s []int
		n := 1
		for _, d := range v.Type.Shape {
			k, ok := d.Const()
			if !ok {
				k = 3
			}
			s = append(s, int(k))
			n *= int(k)
		}
		f := make([]float64, n)
		for i := range f {
			f[i] = rng.Float64()
		}
		in = append(in, tensor.FromFloats(tensor.Float32, s, f))
	}
	return in
}

func outputs(t *testing.T, m *graph.Model) []float64 {
	t.Helper()
	s, err := runtime.Compile(m, runtime.Options{Reference: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(context.Background(), random(m))
	if err != nil {
		t.Fatal(err)
	}
	return out[0].(*tensor.Tensor).Floats()
}

func far(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	diff, top := 0.0, 1e-9
	for i := range a {
		diff, top = max(diff, math.Abs(a[i]-b[i])), max(top, math.Abs(a[i]))
	}
	return diff / top
}

// erase sets what makes, shifts and reads the units to zero.
func erase(c *channels, gone map[int]bool) {
	for v, list := range c.params {
		for _, p := range list {
			t := v.Const()
			f := t.Floats()
			inner := product(t.Shape[p.axis+1:])
			for i := range f {
				if gone[c.root(p.units[i/inner%len(p.units)])] {
					f[i] = 0
				}
			}
			v.Data = &graph.Data{Tensor: tensor.FromFloats(t.Type, t.Shape, f)}
		}
	}
}

func count(m *graph.Model) int {
	n := 0
	for v := range m.Graph.Initializers() {
		if len(v.Uses()) > 0 && v.Data.Tensor.Type.IsFloat() {
			n += v.Data.Tensor.Len()
		}
	}
	return n
}

func yes() bool { return true }

// checkRemoval removes half of the channels: that must do what zeros in their
// place do.
func checkRemoval(t *testing.T, m *graph.Model) {
	t.Helper()
	zeroed := m.Clone()
	c := analyze(zeroed, shape.Infer(zeroed))
	erase(c, c.choose(0.5, yes))
	c = analyze(m, shape.Infer(m))
	gone := c.choose(0.5, yes)
	c.shrink(func(units []int) []int { return c.without(units, gone) })
	if err := m.Verify(); err != nil {
		t.Fatal(err)
	}
	if s := shape.Infer(m); len(s.Conflicts) > 0 {
		t.Fatal(s.Conflicts)
	}
	if d := far(outputs(t, zeroed), outputs(t, m)); !(d < 1e-5) {
		t.Errorf("differs from the model with zeros by %.2g", d)
	}
}

// checkPadding adds units of zeros to every layer that can take some: that must
// change nothing.
func checkPadding(t *testing.T, m *graph.Model) {
	t.Helper()
	was := m.Clone()
	c, more := analyze(m, shape.Infer(m)), map[int]int{}
	for _, l := range c.layers {
		if k := c.padding(l, more, 3); k > 0 {
			more[c.root(l.units[len(l.units)-1])] = k
		}
	}
	c.pad(more)
	if err := m.Verify(); err != nil {
		t.Fatal(err)
	}
	if s := shape.Infer(m); len(s.Conflicts) > 0 {
		t.Fatal(s.Conflicts)
	}
	if d := far(outputs(t, was), outputs(t, m)); !(d < 1e-6) {
		t.Errorf("%v units of zeros change the outputs by %.2g", more, d)
	}
	if len(more) > 0 && count(m) <= count(was) {
		t.Errorf("%d parameters after %d, with %v units of zeros", count(m), count(was), more)
	}
}

func TestChannels(t *testing.T) {
	for _, s := range structures {
		t.Run(s.name, func(t *testing.T) {
			all := weightsText(s.weights)
			if s.consts != "" {
				all += ", " + s.consts
			}
			m := parse(t, fmt.Sprintf("<ir_version: 8, opset_import: [\"\": 17, \"my\": 1]>\ng %s <%s> { %s }", s.io, all, s.body))
			if s.name == "unknown operator" {
				c := analyze(m, shape.Infer(m))
				if gone := c.choose(0.5, yes); len(gone) > 0 {
					t.Errorf("%d units removed", len(gone))
				}
				return
			}
			checkPadding(t, m.Clone())
			checkRemoval(t, m)
			if got := count(m); got != s.left {
				t.Errorf("%d parameters are left, want %d:\n%s", got, s.left, graph.Text(m))
			}
		})
	}
}

func TestChannelsOfShippedModels(t *testing.T) {
	for _, name := range []string{"lenet5", "mbnet"} {
		m, err := onnx.Load("../../models/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		before := count(m)
		checkRemoval(t, m)
		if left := count(m); left > before*2/5 {
			t.Errorf("%s: %d of %d parameters are left", name, left, before)
		}
	}
}

// TestDeadUnits kills units from both sides of layers.
func TestDeadUnits(t *testing.T) {
	for _, s := range structures[:6] {
		m := parse(t, fmt.Sprintf("<ir_version: 8, opset_import: [\"\": 17]>\ng %s <%s> { %s }", s.io, weightsText(s.weights)+map[bool]string{true: ", " + s.consts}[s.consts != ""], s.body))
		c := analyze(m, shape.Infer(m))
		for v, list := range c.params {
			for _, p := range list {
				side := map[role]int{makes: 0, reads: 1}
				k, ok := side[p.role]
				if !ok {
					continue
				}
				f := v.Const().Floats()
				inner := product(v.Const().Shape[p.axis+1:])
				for i := range f {
					if u := i / inner % len(p.units); u%4 == k && len(p.units) > 3 {
						f[i] = 0
					}
				}
				v.Data = &graph.Data{Tensor: tensor.FromFloats(v.Const().Type, v.Const().Shape, f)}
			}
		}
		want, before := outputs(t, m), count(m)
		run := func() int {
			l, err := pass.Run(context.Background(), m, []pass.Pass{DeadUnits}, pass.Options{})
			if err != nil {
				t.Fatal(s.name, err)
			}
			return l.Changes("")
		}
		if run() == 0 || count(m) >= before {
			t.Errorf("%s: nothing removed", s.name)
		}
		if n := run(); n > 0 {
			t.Errorf("%s: %d changes in a second run", s.name, n)
		}
		if d := far(want, outputs(t, m)); !(d < 1e-5) {
			t.Errorf("%s: outputs moved by %.2g", s.name, d)
		}
	}
}

func TestSortUnits(t *testing.T) {
	for _, name := range []string{"lenet300", "lenet5", "mbnet"} {
		m, err := onnx.Load("../../models/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		want := outputs(t, m)
		for i := range 2 {
			l, err := pass.Run(context.Background(), m, []pass.Pass{SortUnits}, pass.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if n := l.Changes(""); (n == 0) != (i == 1) && name != "mbnet" {
				t.Errorf("%s: run %d made %d changes", name, i, n)
			}
		}
		if d := far(want, outputs(t, m)); !(d < 1e-5) {
			t.Errorf("%s: outputs moved by %.2g", name, d)
		}
	}
}

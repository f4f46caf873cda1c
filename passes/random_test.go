package passes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
)

// simplified is m after the preset simplify without one pass.
func simplified(t *testing.T, m *graph.Model, off string) *graph.Model {
	t.Helper()
	list, err := Pipeline("simplify")
	if err != nil {
		t.Fatal(err)
	}
	c := m.Clone()
	o := pass.Options{}
	if off != "" {
		o.Off = map[string]bool{off: true}
	}
	if _, err := pass.Run(context.Background(), c, list, o); err != nil {
		t.Fatal(err)
	}
	if len(op.Verify(m)) == 0 {
		valid(t, c)
	}
	again, err := pass.Run(context.Background(), c.Clone(), list, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := again.Changes(""); n != 0 {
		t.Errorf("a second run made %d changes: %v", n, again.Entries)
	}
	return c
}

// The whole preset keeps the outputs of every golden case, also without any
// one of its passes.
func TestEachPassOff(t *testing.T) {
	list, err := Pipeline("simplify")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*/testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		for _, g := range readGolden(t, path) {
			m := parseCase(t, g.before)
			for _, p := range append(slices.Clone(list), pass.Pass{}) {
				if p.Required {
					continue
				}
				t.Run(g.title+" without "+p.Name, func(t *testing.T) { equalOutputs(t, m, simplified(t, m, p.Name), pass.Close) })
			}
		}
	}
}

// The shipped models keep their answers without any one of the passes.
func TestEachPassOffOnModels(t *testing.T) {
	list, err := Pipeline("simplify")
	if err != nil {
		t.Fatal(err)
	}
	im := loadImages(t, "t10k-images-idx3-ubyte.gz", 2)
	for _, name := range shipped {
		m := load(t, name)
		want := logits(t, m, im, runtime.Options{})
		for _, p := range list {
			if p.Required {
				continue
			}
			if d := largest(want, logits(t, simplified(t, m, p.Name), im, runtime.Options{})); d > 1e-5 {
				t.Errorf("%s without %s: outputs moved by %.2g", name, p.Name, d)
			}
		}
	}
}

// Constants of gigabytes and loops that do not end are left alone, at once.
func TestHostileConstants(t *testing.T) {
	for _, text := range []string{
		`g (float[1] x) => (float[M] y) <int64[1] s = {1073741824}> { big = ConstantOfShape(s) y = Add(x, big) }`,
		`g (float[1] x) => (float[M,N] y) <float one = {1.0}, int64[2] s = {65536, 65536}> { big = Expand(one, s) y = Add(x, big) }`,
		`g (float[1] x) => (float[1] y) <bool c = {1}, float one = {1.0}, float two = {2.0}> { a = Loop("", c, one) <body = b (int64 i, bool k, float v) => (bool k2, float w) { k2 = Identity(k) w = Mul(v, two) }> y = Mul(x, a) }`,
		`g (float[1] x) => (float[1] y) <int64 n = {9223372036854775807}, bool c = {1}, float one = {1.0}> { a = Loop(n, c, one) <body = b (int64 i, bool k, float v) => (bool k2, float w) { k2 = Identity(k) w = Loop(i, k, v) <body = b2 (int64 i2, bool k3, float v2) => (bool k4, float w2) { k4 = Identity(k3) w2 = Neg(v2) }> }> y = Mul(x, a) }`,
	} {
		m := parseCase(t, text)
		start := time.Now()
		simplified(t, m, "")
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v: %s", d, text)
		}
	}
}

// Random graphs keep their outputs.
func TestRandomGraphs(t *testing.T) {
	for seed := range uint64(150) {
		m := randomGraph(rand.New(rand.NewPCG(seed, 1)))
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			equalOutputs(t, m, simplified(t, m, ""), pass.Close)
			if t.Failed() {
				t.Log(graph.TextOptions{Full: true}.Text(m))
			}
		})
	}
}

// randomGraph is a graph of moves, element-wise operators, linear operators
// and shape computations over float[N,4,4,4] values and their transposes.
func randomGraph(r *rand.Rand) *graph.Model {
	g := graph.New("g")
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 20}}, Graph: g}
	x := g.AddInput("x", graph.TensorOf(tensor.Float32, dim.Sym("N"), dim.Of(4), dim.Of(4), dim.Of(4)))
	values := []*graph.Value{x}
	pick := func() *graph.Value { return values[max(0, len(values)-1-r.IntN(3))] }
	for range 4 + r.IntN(16) {
		values = append(values, randomNode(r, g, pick(), pick()))
	}
	for _, v := range values[max(1, len(values)-2):] {
		g.AddOutput(v)
		v.Type = graph.Type{Kind: graph.TensorKind, Elem: tensor.Float32}
	}
	return m
}

func randomTensor(r *rand.Rand, shape ...int) *graph.Data {
	n, _ := tensor.Count(shape)
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.IntN(9)-4) / 2
	}
	return &graph.Data{Tensor: tensor.Of(shape, v)}
}

// randomNode is a value of the type float[N,4,4,4] computed from a and b.
func randomNode(r *rand.Rand, g *graph.Graph, a, b *graph.Value) *graph.Value {
	add := func(op string, in []*graph.Value, attrs ...*graph.Attr) *graph.Value {
		return g.Add(nil, op, "v", in, attrs...)
	}
	constant := func(shape ...int) *graph.Value { return g.AddInitializer("k", randomTensor(r, shape...)) }
	ints := func(v ...int64) *graph.Value {
		return g.AddInitializer("i", &graph.Data{Tensor: tensor.Vector(v...)})
	}
	spatial := [][]int64{{0, 1, 3, 2}, {0, 2, 1, 3}, {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 3, 2, 1}}
	switch r.IntN(16) {
	case 0, 1:
		return add([]string{"Relu", "Neg", "Tanh", "Identity", "Abs", "Sigmoid"}[r.IntN(6)], []*graph.Value{a})
	case 2, 3:
		return add([]string{"Add", "Mul", "Sub", "Max"}[r.IntN(4)], []*graph.Value{a, b})
	case 4, 5:
		shapes := [][]int{{}, {1}, {4, 1, 1}, {4}, {1, 4, 1, 1}}
		k := constant(shapes[r.IntN(5)]...)
		in := []*graph.Value{a, k}
		if r.IntN(3) == 0 {
			in = []*graph.Value{k, a}
		}
		return add([]string{"Add", "Mul", "Sub"}[r.IntN(3)], in)
	case 6, 7, 8:
		return add("Transpose", []*graph.Value{a}, graph.Ints("perm", spatial[r.IntN(5)]...))
	case 9:
		return add("Conv", []*graph.Value{a, constant(4, 4, 1, 1), constant(4)})
	case 10:
		return add("Conv", []*graph.Value{a, constant(4, 2, 3, 3)}, graph.Ints("pads", 1, 1, 1, 1), graph.Int("group", 2))
	case 11:
		return add("MatMul", []*graph.Value{a, constant(4, 4)})
	case 12:
		n := add("Shape", []*graph.Value{a}, graph.Int("end", 1))
		t := add("Concat", []*graph.Value{n, ints(4, -1, 4)}, graph.Int("axis", 0))
		return add("Reshape", []*graph.Value{add("Reshape", []*graph.Value{a, ints(0, 16, 4)}), t})
	case 13:
		k := int64(1 + r.IntN(3))
		p := add("Slice", []*graph.Value{a, ints(k), ints(9), ints(2)})
		q := add("Slice", []*graph.Value{a, ints(0), ints(k), ints(2)})
		return add("Concat", []*graph.Value{p, q}, graph.Int("axis", 2))
	case 14:
		return add("Softmax", []*graph.Value{a}, graph.Int("axis", int64(r.IntN(3))-3))
	}
	p := []*graph.Value{a, g.AddInitializer("s", randomTensor(r, 4)), g.AddInitializer("b", randomTensor(r, 4)),
		g.AddInitializer("m", randomTensor(r, 4)), nil}
	p[4] = g.AddInitializer("v", &graph.Data{Tensor: tensor.Vector(float32(1), 2, 3, 4)})
	return add("BatchNormalization", p)
}

package encode

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/clean"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
)

// weight is a random tensor: a share of elements is one of a few values.
type weight struct {
	shape  []int
	values int
	share  float64
}

func (w weight) tensor(rng *rand.Rand) *tensor.Tensor {
	n, _ := tensor.Count(w.shape)
	book := make([]float32, w.values)
	for i := range book {
		book[i] = float32(rng.NormFloat64())
	}
	v := make([]float32, n)
	for i := range v {
		if rng.Float64() < w.share {
			v[i] = book[rng.IntN(len(book))]
			if w.values == 7 { // a negative zero must stay one
				book[0] = float32(math.Copysign(0, -1))
			}
		}
	}
	return tensor.Of(w.shape, v)
}

// modelOf adds every weight to an input of one element: to -0, which keeps all bits.
func modelOf(list []*tensor.Tensor) *graph.Model {
	m := &graph.Model{IRVersion: 8, Opsets: []graph.Opset{{Version: 17}}, Graph: graph.New("g")}
	x := m.Graph.AddInput("x", graph.TensorOf(tensor.Float32, graph.Dims([]int{1})...))
	for i, t := range list {
		w := m.Graph.AddInitializer(fmt.Sprint("w", i), &graph.Data{Tensor: t})
		y := m.Graph.Add(nil, "Add", fmt.Sprint("y", i), []*graph.Value{x, w})
		y.Type = graph.TypeOf(t)
		m.Graph.AddOutput(y)
	}
	return m
}

// values are what m computes. Whatever decodes its weights runs once, when m is compiled.
func values(t *testing.T, m *graph.Model) []tensor.Value {
	t.Helper()
	s, err := runtime.Compile(m, runtime.Options{Profile: func(st runtime.Step) {
		if !st.Node.Is("Add") {
			t.Errorf("%s is computed in every run", st.Node.Title())
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(context.Background(), []tensor.Value{tensor.Vector(float32(math.Copysign(0, -1)))})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t *testing.T, m *graph.Model, list ...pass.Pass) *pass.Ledger {
	t.Helper()
	l, err := pass.Run(context.Background(), m, list, pass.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestWeights: every form gives back every bit, in fewer bytes.
func TestWeights(t *testing.T) {
	for _, c := range []struct {
		name string
		list []weight
		most int // bytes of the model
	}{
		{"blocks", []weight{{[]int{60, 100}, 8, 0.02}, {[]int{40, 60}, 7, 0.03}}, 1700},
		{"flat", []weight{{[]int{60, 100}, 8, 0.4}, {[]int{7, 11}, 5, 0.5}}, 2700},
		{"inline marker", []weight{{[]int{60, 100}, 5, 0.3}}, 2200},
		{"one value", []weight{{[]int{60, 100}, 1, 0.1}}, 1500},
		{"dense", []weight{{[]int{60, 100}, 16, 1}}, 3700},
		{"two widths", []weight{{[]int{100, 100}, 16, 0.5}, {[]int{200, 100}, 2, 0.5}}, 11000},
		{"images", []weight{{[]int{10, 5, 3, 3}, 4, 0.9}, {[]int{300}, 4, 0.9}}, 1400},
		{"scattered", []weight{{[]int{300, 400}, 8, 0.01}, {[]int{40, 60}, 3, 0.01}}, 3000},
		{"scattered, one value", []weight{{[]int{300, 400}, 1, 0.01}}, 2500},
		{"six bits", []weight{{[]int{300, 400}, 62, 1}}, 95000},
		{"empty but for one", []weight{{[]int{100, 100}, 4, 0.0001}}, 1200},
	} {
		rng := rand.New(rand.NewPCG(1, 1))
		var list []*tensor.Tensor
		for _, w := range c.list {
			list = append(list, w.tensor(rng))
		}
		m := modelOf(list)
		l := run(t, m, Weights, clean.Dead, ShortNames)
		if l.Changes(Weights.Name) != len(list) {
			t.Errorf("%s: %v", c.name, l.Entries)
		}
		for i, v := range values(t, m) {
			if !v.(*tensor.Tensor).Equal(list[i]) {
				t.Errorf("%s: weight %d came back otherwise", c.name, i)
			}
		}
		b, err := onnx.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > c.most {
			t.Errorf("%s: %d bytes", c.name, len(b))
		}
		if n := run(t, m, Weights, clean.Dead, ShortNames).Changes(""); n != 0 {
			t.Errorf("%s: %d changes in a second run", c.name, n)
		}
	}
}

// TestSteps: multiples of powers of two share a vector of int8.
func TestSteps(t *testing.T) {
	grid := func(n int, step float32) *tensor.Tensor {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i%100-50) * step
		}
		return tensor.Of([]int{n}, v)
	}
	list := []*tensor.Tensor{grid(120, 1./64), grid(99, 1./64), grid(130, 1./4096), grid(3, 1)}
	m := modelOf(list)
	if n := run(t, m, Weights, clean.Dead).Changes(Weights.Name); n != 3 {
		t.Errorf("%d changes", n)
	}
	for i, v := range values(t, m) {
		if !v.(*tensor.Tensor).Equal(list[i]) {
			t.Errorf("%d came back otherwise", i)
		}
	}
}

// TestHalves: values of float16 are written as such.
func TestHalves(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	v := make([]float64, 600)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	h := tensor.FromFloats(tensor.Float16, []int{20, 30}, v)
	w := tensor.FromFloats(tensor.Float32, h.Shape, h.Floats())
	m := modelOf([]*tensor.Tensor{w})
	if n := run(t, m, Weights, clean.Dead).Changes(Weights.Name); n != 1 {
		t.Errorf("%d changes", n)
	}
	if !values(t, m)[0].(*tensor.Tensor).Equal(w) {
		t.Error("came back otherwise")
	}
}

// TestKept: what gains nothing stays.
func TestKept(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	list := []*tensor.Tensor{weight{[]int{50, 50}, 2000, 1}.tensor(rng), weight{[]int{5, 5}, 2, 0.5}.tensor(rng), tensor.New(tensor.Float64, 50, 50)}
	if l := run(t, modelOf(list[:2]), Weights); l.Changes("") != 0 {
		t.Errorf("%v", l.Entries)
	}
	m := modelOf([]*tensor.Tensor{weight{[]int{60, 100}, 8, 0.1}.tensor(rng)})
	m.SetOpset("", 12)
	if l := run(t, m, Weights); l.Changes("") != 0 {
		t.Errorf("opset 12: %v", l.Entries)
	}
}

// TestSplitKeepsAxis: OpenCV 5.0 takes a Split without axis along axis 1.
func TestSplitKeepsAxis(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]> g (float[4,2] x) => (float[2,2] y, float[2,2] z) { y, z = Split <axis = 0> (x) }`)
	if err != nil {
		t.Fatal(err)
	}
	if n := run(t, m, DefaultAttributes).Changes(""); n != 0 {
		t.Errorf("%d changes", n)
	}
}

// TestInterface: names, types and order of inputs and outputs stay.
func TestInterface(t *testing.T) {
	m, err := onnx.Load("../../models/lenet5.onnx")
	if err != nil {
		t.Fatal(err)
	}
	in, out := m.Graph.Inputs()[0], m.Graph.Outputs()[0]
	name, typ := in.Name+out.Name, in.Type.String()+out.Type.String()
	run(t, m, DefaultAttributes, RoundBiases, Weights, ShortNames)
	if in.Name+out.Name != name || in.Type.String()+out.Type.String() != typ {
		t.Errorf("%s %s became %s", name, typ, in.Name+out.Name)
	}
	if n := run(t, m, DefaultAttributes, RoundBiases, ShortNames).Changes(""); n != 0 {
		t.Errorf("%d changes in a second run", n)
	}
}

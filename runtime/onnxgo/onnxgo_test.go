// Package onnxgo compares this runtime with github.com/owulveryck/onnx-go: a
// second opinion by other people, also in Go, on what it covers. It ignores opsets and
// the sizes that symbols stand for, computes float32 alone, and refuses or mistakes many
// attributes, so what is asked of it here is listed. It is a module of its own because
// nothing else needs its dependencies.
package onnxgo

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	onnxgo "github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/x/gorgonnx"
	gorgonia "gorgonia.org/tensor"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
)

// operators are graphs of one operator each, of opset 13; inputs are random.
var operators = []string{
	"(float[2,3,4] x, float[2,3,4] y) => (float[2,3,4] z) { z = Add (x, y) }",
	"(float[2,3,4] x, float[2,3,4] y) => (float[2,3,4] z) { z = Sub (x, y) }",
	"(float[2,3,4] x, float[2,3,4] y) => (float[2,3,4] z) { z = Mul (x, y) }",
	"(float[2,3,4] x, float[2,3,4] y) => (float[2,3,4] z) { z = Div (x, y) }",
	"(float[2,30] x) => (float[2,30] z) { z = Relu (x) }",
	"(float[2,30] x) => (float[2,30] z) { z = LeakyRelu <alpha = 0.1> (x) }",
	"(float[2,30] x) => (float[2,30] z) { z = Sigmoid (x) }",
	"(float[2,30] x) => (float[2,30] z) { z = Tanh (x) }",
	"(float[2,30] x) => (float[2,30] z) { z = Exp (x) }",
	"(float[2,30] x) => (float[2,30] z) { z = Abs (x) }",
	"(float[2,30] x) => (float[2,30] z) { z = Neg (x) }",
	"(float[2,30] x) => (float[2,30] z) { z = Softmax <axis = 1> (x) }",
	"(float[5,7] x, float[7,9] y) => (float[5,9] z) { z = MatMul (x, y) }",
	"(float[5,7] x, float[9,7] y, float[9] c) => (float[5,9] z) { z = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, y, c) }",
	"(float[2,3,4,5] x) => (float[2,60] z) { z = Flatten <axis = 1> (x) }",
	"(float[2,3,4] x) => (float[4,2,3] z) { z = Transpose <perm = [2, 0, 1]> (x) }",
	"(float[2,3,4] x, float[2,5,4] y) => (float[2,8,4] z) { z = Concat <axis = 1> (x, y) }",
	"(float[1,3,9,11] x, float[5,3,3,3] w) => (float[1,5,9,11] z) { z = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [1, 1]> (x, w) }",
	"(float[1,3,9,11] x, float[5,3,3,3] w) => (float[1,5,5,6] z) { z = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (x, w) }",
	"(float[1,3,9,11] x, float[20,3,5,3] w) => (float[1,20,5,9] z) { z = Conv <kernel_shape = [5, 3], strides = [1, 1]> (x, w) }",
	"(float[1,20,8,8] x) => (float[1,20,4,4] z) { z = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }",
	"(float[1,3,9,9] x) => (float[1,3,5,5] z) { z = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]> (x) }",
	"(float[2,3,7,7] x) => (float[2,3,1,1] z) { z = GlobalAveragePool (x) }",
}

// models are what it can run of the shipped ones and, where they are (make zoo), of the
// real exports.
var models = []string{"models/lenet300", "models/lenet5", "build/zoo/resnet18", "build/zoo/resnet50"}

func TestOperators(t *testing.T) {
	for _, text := range operators {
		m, err := graph.Parse(`<ir_version: 7, opset_import: ["": 13]> g ` + text)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, text, m)
	}
}

func TestModels(t *testing.T) {
	for _, name := range models {
		path := filepath.Join("../..", name+".onnx")
		if _, err := os.Stat(path); err != nil {
			t.Logf("%s: absent", name)
			continue
		}
		m, err := onnx.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range m.Graph.Nodes() { // it refuses dilations of one that are written
			if n.Is("MaxPool") {
				n.RemoveAttr("dilations")
			}
		}
		agree(t, name, m)
	}
}

// agree runs m in both, on random inputs of batch 1.
func agree(t *testing.T, name string, m *graph.Model) {
	t.Helper()
	s, err := runtime.Compile(m, runtime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	var in []tensor.Value
	for _, v := range m.Graph.Inputs() {
		if v.Data != nil {
			continue
		}
		var shape []int
		for _, d := range v.Type.Shape {
			n, _ := d.Const()
			shape = append(shape, max(int(n), 1))
		}
		x := tensor.New(tensor.Float32, shape...)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(r.NormFloat64())
		}
		in = append(in, x)
	}
	out, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := opinion(m, in)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	want := out[0].(*tensor.Tensor).Float32s()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, here %d", name, len(got), len(want))
		return
	}
	var apart, top float64
	for i, v := range want {
		apart, top = max(apart, math.Abs(float64(v-got[i]))), max(top, math.Abs(float64(v)))
	}
	t.Logf("%s: apart %.2g of %.2g", name, apart, top)
	if !(apart <= 1e-4*top) {
		t.Errorf("%s: apart %.2g of %.2g", name, apart, top)
	}
}

// opinion is the first output of m in onnx-go.
func opinion(m *graph.Model, in []tensor.Value) (out []float32, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	b, err := onnx.Marshal(m)
	if err != nil {
		return nil, err
	}
	backend := gorgonnx.NewGraph()
	o := onnxgo.NewModel(backend)
	if err := o.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	for i, v := range in {
		x := v.(*tensor.Tensor).Clone()
		if err := o.SetInput(i, gorgonia.New(gorgonia.WithShape(x.Shape...), gorgonia.WithBacking(x.Float32s()))); err != nil {
			return nil, err
		}
	}
	if err := backend.Run(); err != nil {
		return nil, err
	}
	results, err := o.GetOutputTensors()
	if err != nil {
		return nil, err
	}
	y, ok := results[0].Data().([]float32)
	if !ok {
		return nil, fmt.Errorf("output of %v", results[0].Dtype())
	}
	return y, nil
}

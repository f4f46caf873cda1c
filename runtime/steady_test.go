package runtime

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// steady compiles a model for runs on tensors of ones, of batch 1; other sizes that are
// not known are 32.
func steady(t *testing.T, m *graph.Model, threads int) (s *Session, in, out []tensor.Value) {
	t.Helper()
	s, err := Compile(m, Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range m.Graph.Inputs() {
		if v.Data != nil {
			in = append(in, nil)
			continue
		}
		shape := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			shape[i] = 1
			if i > 0 {
				shape[i] = 32
			}
			if n, ok := d.Const(); ok {
				shape[i] = int(n)
			}
		}
		x := tensor.New(v.Type.Elem, shape...)
		if x.Type == tensor.Float32 {
			fillFloats(x.Float32s(), 1)
		}
		in = append(in, x)
	}
	return s, in, make([]tensor.Value, len(m.Graph.Outputs()))
}

// TestSteadyRunsAllocateNothing: the shipped models, and what ONNXOPT_STEADY
// names (a list of files), on one thread and two.
func TestSteadyRunsAllocateNothing(t *testing.T) {
	files, err := filepath.Glob("../models/*.onnx")
	if err != nil || len(files) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, path := range append(files, strings.Fields(os.Getenv("ONNXOPT_STEADY"))...) {
		for _, threads := range []int{1, 2} {
			m, err := onnx.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			s, in, out := steady(t, m, threads)
			run := func() {
				if err := s.RunInto(context.Background(), in, out); err != nil {
					t.Fatal(err)
				}
			}
			run() // plans the memory
			run() // records the jobs
			n := testing.AllocsPerRun(1, run)
			for range 3 { // the least, since other goroutines allocate too
				n = min(n, testing.AllocsPerRun(1, run))
			}
			if n != 0 {
				t.Errorf("%s on %d threads: %v allocations in a run", filepath.Base(path), threads, n)
			}
		}
	}
}

// steadyOutputs is the outputs of s after runs on the same tensors with other
// contents, their elements in reverse, so that whatever a step keeps from one
// run for the next is of another input.
func steadyOutputs(s *Session, in []tensor.Value) ([]tensor.Value, error) {
	own := make([]tensor.Value, len(in))
	for i, v := range in {
		own[i] = v
		if x, ok := v.(*tensor.Tensor); ok && x.Type != tensor.String && x.Type.Bits() >= 8 {
			x = x.Clone()
			size := x.Type.Bits() / 8
			for k := range x.Len() {
				copy(x.Bytes()[k*size:(k+1)*size], v.(*tensor.Tensor).Bytes()[(x.Len()-1-k)*size:])
			}
			own[i] = x
		}
	}
	out := make([]tensor.Value, len(s.main.outputs))
	for range 3 {
		_ = s.RunInto(context.Background(), own, out) // may not fit the model
	}
	for i, v := range in {
		if x, ok := own[i].(*tensor.Tensor); ok && own[i] != v {
			copy(x.Bytes(), v.(*tensor.Tensor).Bytes())
		}
	}
	for range 2 {
		if err := s.RunInto(context.Background(), own, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// TestRunAfterFailedRun: a run that follows the plan of one that failed within a step
// keeps that step's result apart from the others.
func TestRunAfterFailedRun(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]>
g (float[4] x, int64[4] i) => (float[4] y, float[4] z) {
	y = Mul (x, x)
	z = Gather (y, i)
}`)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.FromFloats(tensor.Float32, []int{4}, []float64{1, 2, 3, 4})
	i := tensor.FromInts(tensor.Int64, []int{4}, []int64{3, 2, 1, 9})
	in, out := []tensor.Value{x, i}, make([]tensor.Value, 2)
	if s.RunInto(context.Background(), in, out) == nil {
		t.Fatal("index 9 of 4 is no error")
	}
	tensor.View[int64](i)[3] = 0
	if err := s.RunInto(context.Background(), in, out); err != nil {
		t.Fatal(err)
	}
	for k, want := range [][]float32{{1, 4, 9, 16}, {16, 9, 4, 1}} {
		if got := out[k].(*tensor.Tensor).Float32s(); !slices.Equal(got, want) {
			t.Errorf("output %d is %v, wanted %v", k, got, want)
		}
	}
}

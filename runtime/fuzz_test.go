package runtime

import (
	"context"
	"testing"

	"onnxopt/onnx/convert"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/graphtest"
	"onnxopt/onnx/tensor"
)

// runWith runs a model once.
func runWith(o Options) func(*graph.Model, []tensor.Value) ([]tensor.Value, error) {
	return func(m *graph.Model, in []tensor.Value) ([]tensor.Value, error) {
		s, err := Compile(m, o)
		if err != nil {
			return nil, err
		}
		return s.Run(context.Background(), in)
	}
}

// FuzzRun: the reference computes what the operators' evaluations did one by
// one, the fast paths the same but for rounding, whatever the threads.
func FuzzRun(f *testing.F) {
	graphtest.Seeds(func(b []byte) { f.Add(b) })
	f.Fuzz(runs)
}

func runs(t *testing.T, seed []byte) {
	c, reference := graphtest.New(seed), runWith(Options{Reference: true})
	out, err := reference(c.Model, c.Inputs)
	if err == nil {
		err = graphtest.Agree(c.Outputs, out, 0)
	}
	if err != nil {
		t.Fatalf("reference: %v\n%s", err, graph.Text(c.Model))
	}
	one, err := runWith(Options{})(c.Model, c.Inputs)
	if err == nil {
		err = graphtest.Agree(c.Outputs, one, 1e-4)
	}
	if err != nil && c.Stable(1e-4, reference) {
		t.Fatalf("fast: %v\n%s", err, graph.Text(c.Model))
	}
	if err != nil {
		return
	}
	s, err := Compile(c.Model, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := steadyOutputs(s, c.Inputs)
	if err == nil {
		err = graphtest.Agree(one, again, 0)
	}
	if err != nil {
		t.Fatalf("after other inputs in the same tensors: %v\n%s", err, graph.Text(c.Model))
	}
	three, err := runWith(Options{Threads: 3})(c.Model, c.Inputs)
	if err == nil {
		err = graphtest.Agree(one, three, 0)
	}
	if err != nil {
		t.Fatalf("three threads: %v\n%s", err, graph.Text(c.Model))
	}
}

// FuzzConvert: a model that can be said in another opset computes there what it
// did.
func FuzzConvert(f *testing.F) {
	graphtest.Seeds(func(b []byte) { f.Add(b, byte(b[0])) })
	f.Fuzz(converts)
}

func converts(t *testing.T, seed []byte, opset byte) {
	c := graphtest.New(seed)
	m := c.Model.Clone()
	to := int64(7 + opset%20)
	if convert.To(m, to) != nil {
		return
	}
	if err := graphtest.Valid(m); err != nil {
		t.Fatalf("opset %d: %v\n%s\n%s", to, err, graph.Text(c.Model), graph.Text(m))
	}
	reference := runWith(Options{Reference: true})
	out, err := reference(m, c.Inputs)
	if err == nil {
		err = graphtest.Agree(c.Outputs, out, 1e-5)
	}
	if err != nil && c.Stable(1e-5, reference) {
		t.Fatalf("opset %d: %v\n%s\n%s", to, err, graph.Text(c.Model), graph.Text(m))
	}
}

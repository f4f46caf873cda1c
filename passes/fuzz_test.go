package passes

import (
	"context"
	"errors"
	"slices"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/graphtest"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
)

func fast(m *graph.Model, in []tensor.Value) ([]tensor.Value, error) {
	s, err := runtime.Compile(m, runtime.Options{MaxSteps: 10000})
	if err != nil {
		return nil, err
	}
	return s.Run(context.Background(), in)
}

// batches is the one sample that a random model comes with.
type batches []tensor.Value

func (b batches) Len() int                                { return 1 }
func (b batches) BatchSize() int                          { return 1 }
func (b batches) Values(_, _ int) ([]tensor.Value, error) { return b, nil }

// changed is the model after a preset.
func changed(t *testing.T, c *graphtest.Case, preset string, o pass.Options) (*graph.Model, error) {
	t.Helper()
	list, err := Pipeline(preset)
	if err != nil {
		t.Fatal(err)
	}
	m := c.Model.Clone()
	if _, err := pass.Run(context.Background(), m, list, o); err != nil {
		return nil, err
	}
	if err := errors.Join(graphtest.Valid(m), sameInterface(c.Model, m)); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", preset, err, text(c.Model), text(m))
	}
	return m, nil
}

func text(m *graph.Model) string { return graph.TextOptions{Full: true}.Text(m) }

func sameInterface(a, b *graph.Model) error {
	for _, of := range []func(*graph.Graph) []*graph.Value{(*graph.Graph).Inputs, (*graph.Graph).Outputs} {
		if !slices.EqualFunc(of(a.Graph), of(b.Graph), func(x, y *graph.Value) bool { return x.Name == y.Name && x.Type.Equal(y.Type) }) {
			return errors.New("inputs or outputs are others")
		}
	}
	return nil
}

// FuzzSimplify: a simplified model computes with fast paths what the original did
// without, and is not simplified any more.
func FuzzSimplify(f *testing.F) {
	graphtest.Seeds(func(b []byte) { f.Add(b) })
	f.Fuzz(simplifies)
}

func simplifies(t *testing.T, seed []byte) {
	c := graphtest.New(seed)
	m, err := changed(t, c, "simplify", pass.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text(c.Model))
	}
	for _, run := range []func(*graph.Model, []tensor.Value) ([]tensor.Value, error){reference, fast} {
		out, err := run(m, c.Inputs)
		if err == nil {
			err = graphtest.Agree(c.Outputs, out, 1e-4)
		}
		if err != nil && c.Stable(1e-4, reference) {
			t.Fatalf("%v\n%s\n%s", err, text(c.Model), text(m))
		}
	}
	list, _ := Pipeline("simplify")
	l, err := pass.Run(context.Background(), m, list, pass.Options{})
	if err != nil || l.Changes("") != 0 {
		t.Fatalf("a second run: %v, %v\n%s\n%s", err, l.Entries, text(c.Model), text(m))
	}
}

// FuzzQuantize: whatever is quantized is a valid model that runs and gives
// outputs of the same types and shapes, which the reference and fast paths agree on.
func FuzzQuantize(f *testing.F) {
	graphtest.Seeds(func(b []byte) { f.Add(b, b[0]) })
	f.Fuzz(quantizes)
}

func quantizes(t *testing.T, seed []byte, how byte) {
	c := graphtest.New(seed)
	presets := []string{"int8", "weights", "dynamic", "float16", "int8"}
	preset := presets[int(how)%len(presets)]
	o := pass.Options{Samples: batches(c.Inputs)}
	o.Settings.Quant.MinSQNR = -1
	if how&32 != 0 {
		o.Settings.Quant.Profile = "onnxruntime"
	}
	o.Settings.Quant.PerTensor, o.Settings.Quant.SymmetricActivations = how&64 != 0, how&128 != 0
	m, err := changed(t, c, preset, o)
	if err != nil {
		t.Fatalf("%s: %v\n%s", preset, err, text(c.Model))
	}
	out, err := reference(m, c.Inputs)
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", preset, err, text(c.Model), text(m))
	}
	for i, x := range out {
		a, ok := c.Outputs[i].(*tensor.Tensor)
		b, ok2 := x.(*tensor.Tensor)
		if ok && (!ok2 || a.Type != b.Type || !slices.Equal(a.Shape, b.Shape)) && c.Stable(0.1, reference) {
			t.Fatalf("%s: output %d is %v, was %v\n%s\n%s", preset, i, x, a, text(c.Model), text(m))
		}
	}
	quantized := &graphtest.Case{Model: m, Inputs: c.Inputs, Outputs: out}
	if out, err = fast(m, c.Inputs); err == nil {
		err = graphtest.Agree(quantized.Outputs, out, 1e-3)
	}
	if err != nil && quantized.Stable(1e-3, reference) {
		t.Fatalf("%s: fast: %v\n%s\n%s", preset, err, text(c.Model), text(m))
	}
}

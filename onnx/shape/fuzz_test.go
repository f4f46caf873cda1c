package shape_test

import (
	"fmt"
	"testing"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/graphtest"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// FuzzInfer: what inference says of the values of a random model holds for what
// they are, with the symbols of the inputs at the sizes that these have.
func FuzzInfer(f *testing.F) {
	graphtest.Seeds(func(b []byte) { f.Add(b) })
	f.Fuzz(inferred)
}

func inferred(t *testing.T, seed []byte) {
	c := graphtest.New(seed)
	symbols := map[string]int64{}
	for i, v := range c.Model.Graph.Inputs() {
		for k, d := range v.Type.Shape {
			if _, ok := d.Const(); !ok {
				symbols[d.String()] = int64(c.Inputs[i].(*tensor.Tensor).Shape[k])
			}
		}
	}
	info := shape.Infer(c.Model)
	for _, err := range info.Conflicts {
		t.Error(err)
	}
	for v, x := range c.Values {
		if err := contradicts(info, v, x.(*tensor.Tensor), symbols); err != nil {
			t.Errorf("%s: %v", title(v), err)
		}
	}
	if t.Failed() {
		t.Log(graph.Text(c.Model))
	}
}

func contradicts(info *shape.Info, v *graph.Value, x *tensor.Tensor, symbols map[string]int64) error {
	inferred := info.Type(v)
	if inferred.Conflict(graph.TypeOf(x)) {
		return fmt.Errorf("inferred %v, computed %v", inferred, x)
	}
	if inferred.Ranked {
		for k, d := range inferred.Shape {
			if err := evaluates(d, int64(x.Shape[k]), symbols); err != nil {
				return fmt.Errorf("axis %d of %v: %w", k, x, err)
			}
		}
	}
	data, ok := info.Data(v)
	if !ok || !x.Type.IsInt() {
		return nil
	}
	if len(data) != x.Len() {
		return fmt.Errorf("inferred elements %v, computed %v", data, x.Ints())
	}
	for i, n := range x.Ints() {
		if err := evaluates(data[i], n, symbols); err != nil {
			return fmt.Errorf("element %d of %v: %w", i, x.Ints(), err)
		}
	}
	return nil
}

func evaluates(d dim.Dim, want int64, symbols map[string]int64) error {
	if n, ok := d.Eval(symbols); ok && n != want {
		return fmt.Errorf("inferred %v, that is %d, computed %d", d, n, want)
	}
	return nil
}

func title(v *graph.Value) string {
	if v.Def() == nil {
		return v.Name
	}
	return v.Def().Op + " " + v.Name
}

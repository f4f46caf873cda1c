package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlArrayFeatureExtractor = &Def{
	Name:   "ArrayFeatureExtractor",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T Y:int64 -> Z:T |  | T: float double int64 int32 string`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: inferArrayFeatureExtractor,
	Eval:  evalArrayFeatureExtractor,
}

func inferArrayFeatureExtractor(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok || len(s) == 0 {
		return nil
	}
	out := slices.Clone(s)
	if len(s) == 1 {
		out = []dim.Dim{dim.Of(1), dim.Unknown}
	}
	out[len(out)-1] = dim.Unknown
	if y, ok := f.Shape(1); ok {
		out[len(out)-1] = product(y)
	}
	f.Set(0, out...)
	return nil
}

// evalArrayFeatureExtractor gathers along the last axis; a vector counts as
// one row.
func evalArrayFeatureExtractor(e *Eval) error {
	x, y := e.Tensor(0), e.Tensor(1).Ints()
	if x.Rank() == 0 {
		return fmt.Errorf("input %v has no axis", x)
	}
	n := x.Shape[x.Rank()-1]
	for _, k := range y {
		if k < 0 || k >= int64(n) {
			return fmt.Errorf("index %d of %d features", k, n)
		}
	}
	shape := slices.Clone(x.Shape)
	if x.Rank() == 1 {
		shape = []int{1, n}
	}
	shape[len(shape)-1] = len(y)
	out, err := tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int { return i/len(y)*n + int(y[i%len(y)]) })
	if err != nil {
		return err
	}
	e.Set(0, out)
	return nil
}

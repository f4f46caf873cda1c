package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlOneHotEncoder = &Def{
	Name:   "OneHotEncoder",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:float | cats_int64s:ints cats_strings:strings zeros:int=1 | T: string int64 int32 float double`},
	},
	Check: Exact,
	Infer: inferOneHotEncoder,
	Eval:  evalOneHotEncoder,
}

func inferOneHotEncoder(f *Infer) error {
	if s, ok := f.Shape(0); ok {
		n := labelsOf(&f.Attrs, "cats_int64s", "cats_strings").len()
		f.Set(0, append(slices.Clone(s), dim.Of(int64(n)))...)
	}
	return nil
}

// evalOneHotEncoder adds an axis with a one at the category of the element;
// floats are truncated. Unknown categories are errors unless zeros is set.
func evalOneHotEncoder(e *Eval) error {
	x := e.Tensor(0)
	cats := labelsOf(&e.Attrs, "cats_int64s", "cats_strings")
	places := map[any]int{}
	for i, c := range cats.ints {
		places[c] = i
	}
	for i, c := range cats.strings {
		places[c] = i
	}
	shape := append(slices.Clone(x.Shape), cats.len())
	out, err := e.New(tensor.Float32, shape...)
	if err != nil {
		return err
	}
	y := tensor.View[float32](out)
	for i, key := range mapKeys(x) {
		k, ok := places[key]
		if ok {
			y[i*cats.len()+k] = 1
		} else if e.Int("zeros") == 0 {
			return fmt.Errorf("unknown category %v", key)
		}
	}
	e.Set(0, out)
	return nil
}

// mapKeys is the elements as map keys: strings, or int64 of any number.
func mapKeys(x *tensor.Tensor) []any {
	out := make([]any, x.Len())
	switch {
	case x.Type == tensor.String:
		for i, s := range x.Strings() {
			out[i] = s
		}
	case x.Type.IsInt():
		for i, v := range x.Ints() {
			out[i] = v
		}
	default:
		for i, v := range x.Floats() {
			out[i] = int64(v)
		}
	}
	return out
}

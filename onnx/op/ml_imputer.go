package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opMlImputer = &Def{
	Name:   "Imputer",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | imputed_value_floats:floats imputed_value_int64s:ints replaced_value_float:float=0 replaced_value_int64:int=0 | T: float double int64 int32`},
	},
	Check: Exact,
	Infer: sameShape,
	Eval:  evalImputer,
}

// evalImputer replaces one value, which may be NaN, by that of the feature.
func evalImputer(e *Eval) error {
	x := e.Tensor(0)
	if x.Rank() == 0 {
		return fmt.Errorf("input %v has no features", x)
	}
	f := x.Shape[x.Rank()-1]
	if x.Type.IsInt() {
		var by []int64
		if a := e.Attr("imputed_value_int64s"); a != nil {
			by = a.Ints
		}
		v, old := x.Ints(), int64(e.Int("replaced_value_int64"))
		if err := impute(v, by, f, func(x int64) bool { return x == old }); err != nil {
			return err
		}
		e.Set(0, tensor.FromInts(x.Type, x.Shape, v))
		return nil
	}
	v, old := x.Floats(), e.Float("replaced_value_float")
	by := float64s(e.Attrs.Floats("imputed_value_floats"))
	if err := impute(v, by, f, func(x float64) bool { return x == old || x != x && old != old }); err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

func impute[T number](v, by []T, features int, missing func(T) bool) error {
	if len(by) != 1 && len(by) != features {
		return fmt.Errorf("%d imputed values for %d features", len(by), features)
	}
	for i := range v {
		if missing(v[i]) {
			v[i] = by[i%features%len(by)]
		}
	}
	return nil
}

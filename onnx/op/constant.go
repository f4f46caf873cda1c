package op

import (
	"fmt"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opConstant = &Def{
	Name: "Constant",
	Versions: []Version{
		{Since: 1, Schema: `-> output:T | value:tensor! | T: fp`},
		{Since: 9, Schema: `-> output:T | value:tensor! | T: all`},
		{Since: 11, Schema: `-> output:T | sparse_value:sparse value:tensor | T: all`},
		{Since: 12, Schema: `-> output:T | sparse_value:sparse value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings | T: all`},
		{Since: 13, Schema: `-> output:T | sparse_value:sparse value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings | T: all bfloat16`},
		{Since: 19, Schema: `-> output:T | sparse_value:sparse value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings | T: all f8 bfloat16`},
		{Since: 21, Schema: `-> output:T | sparse_value:sparse value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings | T: all f8 i4 bfloat16`},
		{Since: 23, Schema: `-> output:T | sparse_value:sparse value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings | T: all f8 i4 bfloat16 float4e2m1`},
		{Since: 24, Schema: `-> output:T | sparse_value:sparse value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings | T: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `-> output:T | sparse_value:sparse value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0`},
	},
	Check: Exact,
	Infer: inferConstant,
	Eval:  evalConstant,
}

func inferConstant(f *Infer) error {
	v, err := constantValue(&f.Attrs)
	if err != nil {
		return err
	}
	if t, ok := v.(*tensor.Tensor); ok {
		f.SetType(0, graph.TypeOf(t))
		return nil
	}
	s := v.(*tensor.Sparse)
	f.SetType(0, graph.TensorOf(s.Values.Type, graph.Dims(s.Shape)...))
	return nil
}

func evalConstant(e *Eval) error {
	v, err := constantValue(&e.Attrs)
	if s, ok := v.(*tensor.Sparse); ok && err == nil {
		v, err = s.Dense(e.Env.maxBytes())
	}
	e.Set(0, v)
	return err
}

// constantValue is the tensor or sparse tensor of the one attribute given.
func constantValue(a *Attrs) (tensor.Value, error) {
	given := 0
	for _, x := range a.Node.Attrs {
		if strings.HasPrefix(x.Name, "value") || x.Name == "sparse_value" {
			given++
		}
	}
	if given > 1 {
		return nil, fmt.Errorf("%d values", given)
	}
	for _, x := range a.Node.Attrs {
		switch x.Name {
		case "value":
			if x.T != nil && x.T.Tensor != nil {
				return x.T.Tensor, nil
			}
		case "sparse_value":
			if x.T != nil && x.T.Sparse != nil {
				return x.T.Sparse, nil
			}
		case "value_float":
			return tensor.Scalar(x.F), nil
		case "value_floats":
			return tensor.Vector(x.Floats...), nil
		case "value_int":
			return tensor.Scalar(x.I), nil
		case "value_ints":
			return tensor.Vector(x.Ints...), nil
		case "value_string":
			return tensor.FromStrings(nil, []string{x.S})
		case "value_strings":
			return tensor.FromStrings([]int{len(x.Strings)}, x.Strings)
		}
	}
	return nil, fmt.Errorf("no value")
}

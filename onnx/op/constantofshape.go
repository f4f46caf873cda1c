package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opConstantOfShape = &Def{
	Name: "ConstantOfShape",
	Versions: []Version{
		{Since: 9, Schema: `input:T1 -> output:T2 | value:tensor | T1: int64; T2: num bool`},
		{Since: 20, Schema: `input:T1 -> output:T2 | value:tensor | T1: int64; T2: num f8 bool bfloat16`},
		{Since: 21, Schema: `input:T1 -> output:T2 | value:tensor | T1: int64; T2: num f8 i4 bool bfloat16`},
		{Since: 23, Schema: `input:T1 -> output:T2 | value:tensor | T1: int64; T2: num f8 i4 bool bfloat16 float4e2m1`},
		{Since: 24, Schema: `input:T1 -> output:T2 | value:tensor | T1: int64; T2: num f8 i4 bool bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `input:T1 -> output:T2 | value:tensor | T1: int64; T2: num f8 i4 i2 bool bfloat16 float4e2m1 float8e8m0`},
	},
	Check: Exact,
	Infer: inferConstantOfShape,
	Eval:  evalConstantOfShape,
}

func inferConstantOfShape(f *Infer) error {
	if err := f.match("[?]"); err != nil {
		return err
	}
	f.SetElem(0, tensor.Float32)
	if v := f.TensorAttr("value"); v != nil {
		f.SetElem(0, v.Type)
	}
	d, ok := f.InData(0)
	if !ok {
		if s, known := f.Shape(0); known && len(s) == 1 {
			if n, isConst := s[0].Const(); isConst && n >= 0 && n <= 64 {
				f.Set(0, Unknowns(int(n))...)
			}
		}
		return nil
	}
	f.Set(0, d...)
	return nil
}

func evalConstantOfShape(e *Eval) error {
	value := e.TensorAttr("value")
	if value == nil {
		value = tensor.Vector[float32](0)
	}
	if value.Len() != 1 {
		return fmt.Errorf("value of %d elements", value.Len())
	}
	shape, err := intsOf(e.Tensor(0))
	if err != nil {
		return err
	}
	out, err := tensor.Gather(value, shape, e.Env.maxBytes(), func(int) int { return 0 })
	e.Set(0, out)
	return err
}

// intsOf is an integer tensor as ints.
func intsOf(t *tensor.Tensor) ([]int, error) {
	if t.Type != tensor.Int64 && t.Type != tensor.Int32 {
		return nil, fmt.Errorf("%v where integers are wanted", t)
	}
	v := t.Ints()
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = int(x)
	}
	return out, nil
}

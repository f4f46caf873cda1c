package op

import (
	"errors"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opOptionalGetElement = &Def{
	Name: "OptionalGetElement",
	Versions: []Version{
		{Since: 15, Schema: `input:O -> output:V | | O: optseq(all) opt(all); V: all seq(all)`},
		{Since: 18, Schema: `input:O -> output:V | | O: optseq(all) opt(all) all seq(all); V: all seq(all)`},
		{Since: 28, Schema: `input:O -> output:V | | O: opt(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2) optseq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2) all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2 seq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2); V: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2 seq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2)`},
	},
	Check: Exact,
	Infer: func(f *Infer) error {
		t := f.Type(0)
		if t.Of != nil && t.Kind == graph.OptionalKind {
			t = *t.Of
		}
		f.SetType(0, t)
		return nil
	},
	Eval: evalOptionalGetElement,
}

func evalOptionalGetElement(e *Eval) error {
	v := e.Value(0)
	if o, ok := v.(*tensor.Optional); ok {
		v = o.Value
	}
	if v == nil {
		return errors.New("the optional is empty")
	}
	e.Set(0, v)
	return nil
}

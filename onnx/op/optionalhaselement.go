package op

import "onnxopt/onnx/tensor"

var opOptionalHasElement = &Def{
	Name: "OptionalHasElement",
	Versions: []Version{
		{Since: 15, Schema: `input:O -> output:B | | O: optseq(all) opt(all); B: bool`},
		{Since: 18, Schema: `input?:O -> output:B | | O: optseq(all) opt(all) all seq(all); B: bool`},
		{Since: 28, Schema: `input?:O -> output:B | | O: opt(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2) optseq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2) all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2 seq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2); B: bool`},
	},
	Check: Exact,
	Infer: func(f *Infer) error { f.Set(0); return nil },
	Eval: func(e *Eval) error {
		v := e.Value(0)
		if o, ok := v.(*tensor.Optional); ok {
			v = o.Value
		}
		e.Set(0, tensor.Scalar(v != nil))
		return nil
	},
}

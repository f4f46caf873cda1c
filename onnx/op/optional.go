package op

import (
	"errors"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opOptional = &Def{
	Name: "Optional",
	Versions: []Version{
		{Since: 15, Schema: `input?:V -> output:O | type:type | V: all seq(all); O: optseq(all) opt(all)`},
		{Since: 28, Schema: `input?:V -> output:O | type:type | V: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2 seq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2); O: opt(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2) optseq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 float6e2m3 float6e3m2)`},
	},
	Check: Exact,
	Infer: inferOptional,
	Eval: func(e *Eval) error {
		if e.Value(0) == nil && !e.Has("type") {
			return errUntyped
		}
		e.Set(0, &tensor.Optional{Value: e.Value(0)})
		return nil
	},
}

var errUntyped = errors.New("neither an input nor the attribute type is given")

func inferOptional(f *Infer) error {
	switch a := f.Attrs.Attr("type"); {
	case f.Given(0):
		if t := f.Type(0); t.Known() {
			f.SetType(0, graph.OptionalOf(t))
		}
	case a == nil || a.Type == nil:
		return errUntyped
	default:
		f.SetType(0, graph.OptionalOf(*a.Type))
	}
	return nil
}

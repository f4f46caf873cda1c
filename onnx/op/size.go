package op

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opSize = &Def{
	Name: "Size",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> size:T1 |  | T: all; T1: int64`},
		{Since: 13, Schema: `data:T -> size:T1 |  | T: all bfloat16; T1: int64`},
		{Since: 19, Schema: `data:T -> size:T1 |  | T: all f8 bfloat16; T1: int64`},
		{Since: 21, Schema: `data:T -> size:T1 |  | T: all f8 i4 bfloat16; T1: int64`},
		{Since: 23, Schema: `data:T -> size:T1 |  | T: all f8 i4 bfloat16 float4e2m1; T1: int64`},
		{Since: 24, Schema: `data:T -> size:T1 |  | T: all f8 i4 bfloat16 float4e2m1 float8e8m0; T1: int64`},
		{Since: 25, Schema: `data:T -> size:T1 |  | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0; T1: int64`},
	},
	Check: Exact,
	Infer: inferSize,
	Eval:  func(e *Eval) error { e.Set(0, tensor.Scalar(int64(e.Tensor(0).Len()))); return nil },
}

func inferSize(f *Infer) error {
	f.Set(0)
	if s, ok := f.Shape(0); ok {
		f.SetData(0, []dim.Dim{product(s)})
	}
	return nil
}

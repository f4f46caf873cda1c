package op

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opShape = &Def{
	Name: "Shape",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> shape:T1 |  | T: all; T1: int64`},
		{Since: 13, Schema: `data:T -> shape:T1 |  | T: all bfloat16; T1: int64`},
		{Since: 15, Schema: `data:T -> shape:T1 | end:int start:int=0 | T: all bfloat16; T1: int64`},
		{Since: 19, Schema: `data:T -> shape:T1 | end:int start:int=0 | T: all f8 bfloat16; T1: int64`},
		{Since: 21, Schema: `data:T -> shape:T1 | end:int start:int=0 | T: all f8 i4 bfloat16; T1: int64`},
		{Since: 23, Schema: `data:T -> shape:T1 | end:int start:int=0 | T: all f8 i4 bfloat16 float4e2m1; T1: int64`},
		{Since: 24, Schema: `data:T -> shape:T1 | end:int start:int=0 | T: all f8 i4 bfloat16 float4e2m1 float8e8m0; T1: int64`},
		{Since: 25, Schema: `data:T -> shape:T1 | end:int start:int=0 | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0; T1: int64`},
	},
	Infer: inferShape,
	Eval:  evalShape,
}

func inferShape(f *Infer) error {
	t := f.Type(0)
	if !t.Ranked {
		f.Set(0, dim.Unknown)
		return nil
	}
	start, end := shapeRange(&f.Attrs, len(t.Shape))
	f.Set(0, dim.Of(int64(end-start)))
	f.SetData(0, t.Shape[start:end])
	return nil
}

// shapeRange is the slice of dims that the attributes start and end select.
func shapeRange(a *Attrs, rank int) (start, end int) {
	clamp := func(i int) int {
		if i < 0 {
			i += rank
		}
		return min(max(i, 0), rank)
	}
	start, end = clamp(a.Int("start")), rank
	if a.Has("end") {
		end = clamp(a.Int("end"))
	}
	return start, max(start, end)
}

func evalShape(e *Eval) error {
	x := e.Tensor(0)
	start, end := shapeRange(&e.Attrs, x.Rank())
	out := make([]int64, 0, end-start)
	for _, d := range x.Shape[start:end] {
		out = append(out, int64(d))
	}
	e.Set(0, tensor.Vector(out...))
	return nil
}

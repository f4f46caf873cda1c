package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opEyeLike = &Def{
	Name: "EyeLike",
	Versions: []Version{
		{Since: 9, Schema: `input:T1 -> output:T2 | dtype:int k:int=0 | T1: num bool; T2: num bool`},
		{Since: 22, Schema: `input:T1 -> output:T2 | dtype:int k:int=0 | T1: num bfloat16 bool; T2: num bfloat16 bool`},
	},
	Infer: inferEyeLike,
	Eval:  evalEyeLike,
}

func inferEyeLike(f *Infer) error {
	f.SetElem(0, f.Type(0).Elem)
	if f.Has("dtype") {
		f.SetElem(0, tensor.DType(f.Int("dtype")))
	}
	return sameShape(f)
}

func evalEyeLike(e *Eval) error {
	x := e.Tensor(0)
	t := x.Type
	if e.Has("dtype") {
		t = tensor.DType(e.Int("dtype"))
	}
	if x.Rank() != 2 {
		return fmt.Errorf("input %v", x)
	}
	v := make([]int64, x.Len())
	for r := range x.Shape[0] {
		if c := r + e.Int("k"); c >= 0 && c < x.Shape[1] {
			v[r*x.Shape[1]+c] = 1
		}
	}
	e.Set(0, tensor.FromInts(t, x.Shape, v))
	return nil
}

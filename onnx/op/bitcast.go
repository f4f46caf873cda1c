package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opBitCast = &Def{
	Name: "BitCast",
	Versions: []Version{
		{Since: 26, Schema: `input:T1 -> output:T2 | to:int! | T1: num complex f8 i4 i2 bfloat16 bool float4e2m1 float8e8m0; T2: num complex f8 i4 i2 bfloat16 bool float4e2m1 float8e8m0`},
	},
	Check: Exact,
	Infer: inferBitCast,
	Eval:  evalBitCast,
}

func inferBitCast(f *Infer) error {
	if from, to := f.Type(0).Elem, tensor.DType(f.Int("to")); from.Valid() && to.Valid() && from.Bits() != to.Bits() {
		return fmt.Errorf("bits of %v as %v", from, to)
	}
	if err := f.setElemAttr("to"); err != nil {
		return err
	}
	return sameShape(f)
}

func evalBitCast(e *Eval) error {
	x := e.Tensor(0)
	to, err := e.elemType("to")
	if err != nil {
		return err
	}
	if to.Bits() != x.Type.Bits() || to == tensor.String {
		return fmt.Errorf("bits of %v as %v", x.Type, to)
	}
	e.Set(0, x.As(to))
	return nil
}

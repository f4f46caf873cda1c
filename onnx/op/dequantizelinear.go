package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opDequantizeLinear = &Def{
	Name: "DequantizeLinear",
	Versions: []Version{
		{Since: 10, Schema: `x:T x_scale:float x_zero_point?:T -> y:float |  | T: int8 uint8 int32`},
		{Since: 13, Schema: `x:T x_scale:float x_zero_point?:T -> y:float | axis:int=1 | T: int8 uint8 int32`},
		{Since: 19, Schema: `x:T1 x_scale:T2 x_zero_point?:T1 -> y:T2 | axis:int=1 | T1: f8 int8 uint8 int32; T2: float float16 bfloat16`},
		{Since: 21, Schema: `x:T1 x_scale:T2 x_zero_point?:T1 -> y:T2 | axis:int=1 block_size:int=0 | T1: f8 i4 int8 uint8 int16 uint16 int32; T2: float float16 bfloat16`},
		{Since: 23, Schema: `x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 | T1: f8 i4 int8 uint8 int16 uint16 int32 float4e2m1; T2: float float16 bfloat16; T3: float float16 bfloat16`},
		{Since: 24, Schema: `x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 | T1: f8 i4 int8 uint8 int16 uint16 int32 float4e2m1; T2: float float16 bfloat16 float8e8m0; T3: float float16 bfloat16`},
		{Since: 25, Schema: `x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 | T1: f8 i4 i2 int8 uint8 int16 uint16 int32 float4e2m1; T2: float float16 bfloat16 float8e8m0; T3: float float16 bfloat16`},
		{Since: 28, Schema: `x:T1 x_scale:T2 x_zero_point?:T1 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 | T1: f8 i4 i2 int8 uint8 int16 uint16 int32 float4e2m1 float6e2m3 float6e3m2; T2: float float16 bfloat16 float8e8m0; T3: float float16 bfloat16`},
	},
	Infer: inferDequantizeLinear,
	Eval:  evalDequantizeLinear,
}

func inferDequantizeLinear(f *Infer) error {
	if f.Since >= 19 {
		f.SetElem(0, f.Type(1).Elem)
	}
	if f.Int("output_dtype") != 0 {
		if err := f.setElemAttr("output_dtype"); err != nil {
			return err
		}
	}
	return sameShape(f)
}

// evalDequantizeLinear is y = (x - zero point) * scale.
func evalDequantizeLinear(e *Eval) error {
	x, scale, zp := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	at, err := e.scaleIndex(x, scale)
	if err != nil {
		return err
	}
	z, err := zeroPoints(scale, zp)
	if err != nil {
		return err
	}
	to := scale.Type
	if e.Int("output_dtype") != 0 {
		if to, err = e.elemType("output_dtype"); err != nil {
			return err
		}
	} else if e.Since < 19 {
		to = tensor.Float32
	}
	if !to.IsFloat() {
		return fmt.Errorf("dequantization to %v", to)
	}
	v, s := x.Floats(), scale.Floats()
	for i := range v {
		k := at(i)
		if z != nil {
			v[i] -= z[k]
		}
		v[i] *= s[k]
	}
	e.Set(0, tensor.FromFloats(to, x.Shape, v))
	return nil
}

package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opQuantizeLinear = &Def{
	Name: "QuantizeLinear",
	Versions: []Version{
		{Since: 10, Schema: `x:T1 y_scale:float y_zero_point?:T2 -> y:T2 |  | T1: float int32; T2: int8 uint8`},
		{Since: 13, Schema: `x:T1 y_scale:float y_zero_point?:T2 -> y:T2 | axis:int=1 | T1: float int32; T2: int8 uint8`},
		{Since: 19, Schema: `x:T1 y_scale:T1 y_zero_point?:T2 -> y:T2 | axis:int=1 saturate:int=1 | T1: float float16 bfloat16 int32; T2: f8 int8 uint8`},
		{Since: 21, Schema: `x:T1 y_scale:T1 y_zero_point?:T2 -> y:T2 | axis:int=1 block_size:int=0 output_dtype:int=0 saturate:int=1 | T1: float float16 bfloat16 int32; T2: f8 i4 int8 uint8 int16 uint16`},
		{Since: 23, Schema: `x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1 | T1: float float16 bfloat16 int32; T2: float float16 bfloat16 int32; T3: f8 i4 int8 uint8 int16 uint16 float4e2m1`},
		{Since: 24, Schema: `x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1 | T1: float float16 bfloat16 int32; T2: float float16 bfloat16 int32 float8e8m0; T3: f8 i4 int8 uint8 int16 uint16 float4e2m1`},
		{Since: 25, Schema: `x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1 | T1: float float16 bfloat16 int32; T2: float float16 bfloat16 int32 float8e8m0; T3: f8 i4 i2 int8 uint8 int16 uint16 float4e2m1`},
		{Since: 28, Schema: `x:T1 y_scale:T2 y_zero_point?:T3 -> y:T3 | axis:int=1 block_size:int=0 output_dtype:int=0 precision:int=0 saturate:int=1 | T1: float float16 bfloat16 int32; T2: float float16 bfloat16 int32 float8e8m0; T3: f8 i4 i2 int8 uint8 int16 uint16 float4e2m1 float6e2m3 float6e3m2`},
	},
	Check: Exact,
	Infer: inferQuantizeLinear,
	Eval:  evalQuantizeLinear,
}

func inferQuantizeLinear(f *Infer) error {
	switch {
	case f.Type(2).Elem != 0:
		f.SetElem(0, f.Type(2).Elem)
	case f.Given(2):
	case f.Int("output_dtype") != 0:
		f.SetElem(0, tensor.DType(f.Int("output_dtype")))
	default:
		f.SetElem(0, tensor.Uint8)
	}
	return sameShape(f)
}

// scaleIndex maps a linear index of x to the index of its scale: per tensor,
// per axis, or in blocks along the axis.
func scaleIndex(x, scale *tensor.Tensor, axis, block int) (func(i int) int, error) {
	if scale.Len() == 1 && (block == 0 || scale.Rank() < x.Rank()) {
		return func(int) int { return 0 }, nil
	}
	axis, ok := Axis(axis, x.Rank())
	if !ok {
		return nil, fmt.Errorf("axis %d of %v", axis, x)
	}
	inner := volume(x.Shape[axis+1:])
	n := x.Shape[axis]
	if scale.Rank() == 1 && block == 0 {
		if scale.Len() != n {
			return nil, fmt.Errorf("scale %v for axis %d of %v", scale, axis, x)
		}
		return func(i int) int { return i / inner % n }, nil
	}
	if scale.Rank() != x.Rank() || block < 1 {
		return nil, fmt.Errorf("scale %v and block size %d for %v", scale, block, x)
	}
	for d := range x.Shape {
		want := x.Shape[d]
		if d == axis {
			want = (n + block - 1) / block
		}
		if scale.Shape[d] != want {
			return nil, fmt.Errorf("scale %v and block size %d for axis %d of %v", scale, block, axis, x)
		}
	}
	blocks := scale.Shape[axis]
	return func(i int) int { return (i/inner/n*blocks+i/inner%n/block)*inner + i%inner }, nil
}

// evalQuantizeLinear is y = saturate(round(x / scale) + zero point), ties to
// even.
func evalQuantizeLinear(e *Eval) error {
	x, scale, zp := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	to := tensor.Uint8
	switch {
	case zp != nil:
		to = zp.Type
	case e.Int("output_dtype") != 0:
		to = tensor.DType(e.Int("output_dtype"))
	}
	at, err := scaleIndex(x, scale, e.Int("axis"), e.Int("block_size"))
	if err != nil {
		return err
	}
	v, s := x.Floats(), scale.Floats()
	for i := range v {
		v[i] = divideAs(scale.Type, v[i], s[at(i)])
	}
	if to.IsFloat() {
		e.Set(0, tensor.EncodeFloats(to, x.Shape, v, e.Int("saturate") != 0))
		return nil
	}
	lo, hi := to.IntRange()
	var z []int64
	if zp != nil {
		z = zp.Ints()
	}
	out := make([]int64, len(v))
	for i, q := range v {
		q = math.RoundToEven(q)
		if z != nil {
			q += float64(z[at(i)])
		}
		if math.IsNaN(q) {
			q = 0
		}
		out[i] = int64(min(max(q, float64(lo)), float64(hi)))
	}
	e.Set(0, tensor.FromInts(to, x.Shape, out))
	return nil
}

// divideAs divides in the precision of a float type.
func divideAs(t tensor.DType, x, y float64) float64 {
	if t == tensor.Float32 {
		return float64(float32(x) / float32(y))
	}
	return x / y
}

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
		if err := f.setElemAttr("output_dtype"); err != nil {
			return err
		}
	default:
		f.SetElem(0, tensor.Uint8)
	}
	return sameShape(f)
}

// scaleIndex is scaleIndex by the node's attributes. Before opset 13, which has
// no axis, there is one scale.
func (e *Eval) scaleIndex(x, scale *tensor.Tensor) (func(i int) int, error) {
	if e.Schema.Attr("axis") == nil && scale.Len() != 1 {
		return nil, fmt.Errorf("scale %v where there is no axis", scale)
	}
	return scaleIndex(x, scale, e.Int("axis"), e.Int("block_size"))
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
// even. Floating-point types are rounded once, after the zero point is added.
func evalQuantizeLinear(e *Eval) error {
	x, scale, zp := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	to, err := e.quantizedType(zp)
	if err != nil {
		return err
	}
	at, err := e.scaleIndex(x, scale)
	if err != nil {
		return err
	}
	z, err := zeroPoints(scale, zp)
	if err != nil {
		return err
	}
	v, err := e.quotients(x, scale, at)
	if err != nil {
		return err
	}
	lo, hi := to.IntRange()
	for i, q := range v {
		if to.IsInt() {
			q = math.RoundToEven(q)
		}
		if z != nil {
			q += z[at(i)]
		}
		if to.IsInt() {
			if math.IsNaN(q) {
				q = 0
			}
			q = min(max(q, float64(lo)), float64(hi))
		}
		v[i] = q
	}
	if to.IsFloat() {
		e.Set(0, tensor.EncodeFloats(to, x.Shape, v, e.Schema.Attr("saturate") == nil || e.Int("saturate") != 0))
		return nil
	}
	e.Set(0, tensor.FromFloats(to, x.Shape, v))
	return nil
}

// quantizedType is the type of the zero point, else output_dtype, else uint8.
func (e *Eval) quantizedType(zp *tensor.Tensor) (tensor.DType, error) {
	to := tensor.Uint8
	if e.Int("output_dtype") != 0 {
		t, err := e.elemType("output_dtype")
		if err != nil {
			return 0, err
		}
		if zp != nil && zp.Type != t {
			return 0, fmt.Errorf("output_dtype %v and zero point %v", t, zp)
		}
		to = t
	}
	if zp != nil {
		to = zp.Type
	}
	if to.Bits() > 16 || !to.IsInt() && !to.IsFloat() {
		return 0, fmt.Errorf("quantization to %v", to)
	}
	return to, nil
}

// zeroPoints is the zero points, one for each scale; nil if there are none.
func zeroPoints(scale, zp *tensor.Tensor) ([]float64, error) {
	if zp == nil {
		return nil, nil
	}
	if zp.Len() != scale.Len() {
		return nil, fmt.Errorf("scale %v and zero point %v", scale, zp)
	}
	return zp.Floats(), nil
}

// quotients is x / scale in the precision of the attribute or, from version 23
// on, of the scale's type. Earlier versions leave it open: float32, as other
// runtimes divide, which also serves for scales that are integers or powers of
// two.
func (e *Eval) quotients(x, scale *tensor.Tensor, at func(i int) int) ([]float64, error) {
	t := tensor.Float32
	if e.Since >= 23 && scale.Type.IsFloat() && scale.Type.Bits() >= 16 {
		t = scale.Type
	}
	if e.Int("precision") != 0 {
		p, err := e.elemType("precision")
		if err != nil {
			return nil, err
		}
		if !p.IsFloat() || p.Bits() < 16 {
			return nil, fmt.Errorf("precision %v", p)
		}
		t = p
	}
	round := func(v []float64) []float64 { return tensor.FromFloats(t, []int{len(v)}, v).Floats() }
	v, s := round(x.Floats()), round(scale.Floats())
	for i := range v {
		v[i] /= s[at(i)]
	}
	return round(v), nil
}

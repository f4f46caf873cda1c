package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/tensor"
)

var opQLinearMatMul = &Def{
	Name: "QLinearMatMul",
	Versions: []Version{
		{Since: 10, Schema: `a:T1 a_scale:float a_zero_point:T1 b:T2 b_scale:float b_zero_point:T2 y_scale:float y_zero_point:T3 -> y:T3 |  | T1: int8 uint8; T2: int8 uint8; T3: int8 uint8`},
		{Since: 21, Schema: `a:T1 a_scale:TS a_zero_point:T1 b:T2 b_scale:TS b_zero_point:T2 y_scale:TS y_zero_point:T3 -> y:T3 |  | TS: float float16 bfloat16; T1: f8 int8 uint8; T2: f8 int8 uint8; T3: f8 int8 uint8`},
	},
	Infer: inferQLinearMatMul,
	Eval:  evalQLinearMatMul,
}

func inferQLinearMatMul(f *Infer) error {
	a, ok := f.Shape(0)
	b, ok2 := f.Shape(3)
	f.SetElem(0, f.Type(7).Elem)
	if !ok || !ok2 {
		return nil
	}
	out, err := matMulDims(a, b)
	if err != nil {
		return err
	}
	f.Set(0, out...)
	return nil
}

// evalQLinearMatMul accumulates in int32, or in floating point for 8-bit
// floats, and requantizes by a_scale*b_scale/y_scale, rounding half to even. Scales and zero points are
// per tensor, per row of a or per column of b.
func evalQLinearMatMul(e *Eval) error {
	a, b := e.Tensor(0), e.Tensor(3)
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Int64, shape); err != nil {
		return err
	}
	as, err := matMulScale(e.Tensor(1), shape, a.Rank() > 1, b.Rank() > 1, true)
	if err != nil {
		return err
	}
	bs, err := matMulScale(e.Tensor(4), shape, a.Rank() > 1, b.Rank() > 1, false)
	if err != nil {
		return err
	}
	var acc []float64
	if a.Type.IsInt() && b.Type.IsInt() {
		var sums []int64
		sums, err = centeredMatMul(e, a, b, (*tensor.Tensor).Ints)
		acc = wrapped(sums)
	} else {
		acc, err = centeredMatMul(e, a, b, (*tensor.Tensor).Floats)
	}
	if err != nil {
		return err
	}
	return e.requantize(shape, acc, func(i int) float64 { return float64(float32(as(i)) * float32(bs(i))) })
}

// centeredMatMul is (a - a_zero_point) * (b - b_zero_point).
func centeredMatMul[T number](e *Eval, a, b *tensor.Tensor, elems func(*tensor.Tensor) []T) ([]T, error) {
	av, err := centered(a, e.Tensor(2), a.Rank()-2, elems)
	if err != nil {
		return nil, err
	}
	bv, err := centered(b, e.Tensor(5), b.Rank()-1, elems)
	if err != nil {
		return nil, err
	}
	return matMul(a.Shape, b.Shape, av, bv), nil
}

// wrapped is sums as an int32 accumulator holds them.
func wrapped(sums []int64) []float64 {
	out := make([]float64, len(sums))
	for i, s := range sums {
		out[i] = float64(int32(s))
	}
	return out
}

// matMulScale maps a linear index of a product of the shape to the scale of an
// operand: a scalar, one for each row (or column), or a tensor that
// broadcasts to the product. rows and columns say which axes the product has.
func matMulScale(scale *tensor.Tensor, shape []int, rows, columns, ofRows bool) (func(i int) float64, error) {
	v := scale.Floats()
	if len(v) == 1 {
		return func(int) float64 { return v[0] }, nil
	}
	s := scale
	if scale.Rank() == 1 && ofRows && rows && columns {
		s = scale.Reshaped(scale.Len(), 1)
	}
	if got, err := tensor.Broadcast(s.Shape, shape); err != nil || !slices.Equal(got, shape) {
		return nil, fmt.Errorf("scale %v for a product %v", scale, shape)
	}
	index := make([]int, volume(shape))
	EachBroadcast(shape, [][]int{s.Shape}, func(o int, at []int) { index[o] = at[0] })
	return func(i int) float64 { return v[index[i]] }, nil
}

// perTensor is the element of a scale that must have one.
func perTensor(scale *tensor.Tensor) (float64, error) {
	if scale.Len() != 1 {
		return 0, fmt.Errorf("scale %v, want one element", scale)
	}
	return scale.Floats()[0], nil
}

// requantize sets output 0 to saturate(round(acc * (scale/y_scale)) +
// y_zero_point), where inputs 6 and 7 are y_scale and y_zero_point and scale
// gives the product of the operands' scales. The multiplier and the product
// are in float32.
func (e *Eval) requantize(shape []int, acc []float64, scale func(i int) float64) error {
	ys, err := perTensor(e.Tensor(6))
	if err != nil {
		return err
	}
	zp := e.Tensor(7)
	if zp.Len() != 1 {
		return fmt.Errorf("zero point %v, want one element", zp)
	}
	z, to := zp.Floats()[0], zp.Type
	out := make([]float64, len(acc))
	for i, a := range acc {
		m := float32(scale(i)) / float32(ys)
		q := float64(float32(a) * m)
		if to.IsInt() {
			lo, hi := to.IntRange()
			out[i] = min(max(math.RoundToEven(q)+z, float64(lo)), float64(hi))
		} else {
			out[i] = q + z
		}
	}
	e.Set(0, tensor.FromFloats(to, shape, out))
	return nil
}

package op

import (
	"fmt"
	"math"

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

// evalQLinearMatMul accumulates in int32 and requantizes by
// a_scale*b_scale/y_scale, rounding half to even.
func evalQLinearMatMul(e *Eval) error {
	a, b := e.Tensor(0), e.Tensor(3)
	av, err := minusZeroPoint(a, e.Tensor(2), a.Rank()-2)
	if err != nil {
		return err
	}
	bv, err := minusZeroPoint(b, e.Tensor(5), b.Rank()-1)
	if err != nil {
		return err
	}
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	acc := matMul(a.Shape, b.Shape, av, bv)
	n := shape[len(shape)-1]
	out, err := requantize(acc, e.Tensor(1), e.Tensor(4), e.Tensor(6), e.Tensor(7), func(i, scales int) int {
		if scales == 1 {
			return 0
		}
		return i % n
	})
	if err != nil {
		return err
	}
	e.Set(0, tensor.FromInts(e.Tensor(7).Type, shape, out))
	return nil
}

// requantize is saturate(round(acc * (x_scale*w_scale/y_scale)) + y_zero_point)
// with the multiplier in float32; index maps an element to its weight scale.
func requantize(acc []int64, xScale, wScale, yScale, yZero *tensor.Tensor, index func(i, scales int) int) ([]int64, error) {
	xs, ws, ys := xScale.Floats(), wScale.Floats(), yScale.Floats()
	if len(xs) != 1 || len(ys) != 1 {
		return nil, fmt.Errorf("scales %v and %v of activations", xScale, yScale)
	}
	lo, hi := yZero.Type.IntRange()
	z := yZero.Ints()[0]
	out := make([]int64, len(acc))
	for i, a := range acc {
		m := float32(xs[0]) * float32(ws[index(i, len(ws))]) / float32(ys[0])
		q := math.RoundToEven(float64(float32(int32(a)) * m))
		out[i] = int64(min(max(q+float64(z), float64(lo)), float64(hi)))
	}
	return out, nil
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opMatMulInteger = &Def{
	Name: "MatMulInteger",
	Versions: []Version{
		{Since: 10, Schema: `A:T1 B:T2 a_zero_point?:T1 b_zero_point?:T2 -> Y:T3 |  | T1: int8 uint8; T2: int8 uint8; T3: int32`},
	},
	Check: Exact,
	Infer: inferMatMul,
	Eval:  evalMatMulInteger,
}

func evalMatMulInteger(e *Eval) error {
	a, b := e.Tensor(0), e.Tensor(1)
	av, err := minusZeroPoint(a, e.Tensor(2), a.Rank()-2)
	if err != nil {
		return err
	}
	bv, err := minusZeroPoint(b, e.Tensor(3), b.Rank()-1)
	if err != nil {
		return err
	}
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Int64, shape); err != nil {
		return err
	}
	e.Set(0, tensor.FromInts(tensor.Int32, shape, matMul(a.Shape, b.Shape, av, bv)))
	return nil
}

// minusZeroPoint is the elements of x less the zero point: a scalar, one for
// each index of an axis, or one for each row or column of a batch.
func minusZeroPoint(x, zp *tensor.Tensor, axis int) ([]int64, error) {
	return centered(x, zp, axis, (*tensor.Tensor).Ints)
}

// centered is minusZeroPoint for any type of elements.
func centered[T number](x, zp *tensor.Tensor, axis int, elems func(*tensor.Tensor) []T) ([]T, error) {
	v := elems(x)
	if zp == nil {
		return v, nil
	}
	z := elems(zp)
	if zp.Len() == 1 {
		for i := range v {
			v[i] -= z[0]
		}
		return v, nil
	}
	if zp.Rank() > 1 {
		shape, err := tensor.Broadcast(zp.Shape, x.Shape)
		if err != nil || !slices.Equal(shape, x.Shape) {
			return nil, fmt.Errorf("zero point %v for %v", zp, x)
		}
		EachBroadcast(shape, [][]int{zp.Shape}, func(o int, at []int) { v[o] -= z[at[0]] })
		return v, nil
	}
	if axis < 0 || zp.Len() != x.Shape[axis] {
		return nil, fmt.Errorf("zero point %v for axis %d of %v", zp, axis, x)
	}
	inner := volume(x.Shape[axis+1:])
	for i := range v {
		v[i] -= z[i/inner%len(z)]
	}
	return v, nil
}

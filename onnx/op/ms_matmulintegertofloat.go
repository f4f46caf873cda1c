package op

import "onnxopt/onnx/tensor"

var opMsMatMulIntegerToFloat = &Def{
	Name:   "MatMulIntegerToFloat",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T1 B:T2 a_scale:T3 b_scale:T3 a_zero_point?:T1 b_zero_point?:T2 bias?:T3 -> Y:T3 | | T1: int8 uint8; T2: int8 uint8; T3: float float16`},
	},
	Infer: func(f *Infer) error {
		f.SetElem(0, f.Type(2).Elem)
		return inferMatMul(f)
	},
	Eval: evalMatMulIntegerToFloat,
}

// evalMatMulIntegerToFloat is a_scale * b_scale * (A-a_zero)(B-b_zero) + bias;
// scale and zero point of B are per tensor or per column.
func evalMatMulIntegerToFloat(e *Eval) error {
	return e.scaledMatMul(e.Tensor(0), e.Tensor(1), e.Tensor(2), e.Tensor(3), e.Tensor(4), e.Tensor(5), e.Tensor(6))
}

// scaledMatMul sets output 0 to as * bs * (a-az)(b-bz) + bias, of the type of as.
func (e *Eval) scaledMatMul(a, b, as, bs, az, bz, bias *tensor.Tensor) error {
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Int64, shape); err != nil {
		return err
	}
	av, err := minusZeroPoint(a, az, a.Rank()-2)
	if err != nil {
		return err
	}
	bv, err := minusZeroPoint(b, bz, b.Rank()-1)
	if err != nil {
		return err
	}
	sa, err := matMulScale(as, shape, a.Rank() > 1, b.Rank() > 1, true)
	if err != nil {
		return err
	}
	sb, err := matMulScale(bs, shape, a.Rank() > 1, b.Rank() > 1, false)
	if err != nil {
		return err
	}
	y := wrapped(matMul(a.Shape, b.Shape, av, bv))
	for i := range y {
		y[i] *= sa(i) * sb(i)
	}
	if err := scaleShift(shape, y, nil, bias); err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(as.Type, shape, y))
	return nil
}

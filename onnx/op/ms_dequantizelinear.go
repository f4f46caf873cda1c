package op

var opMsDequantizeLinear = &Def{
	Name:   "DequantizeLinear",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `x:T1 x_scale:T2 x_zero_point?:T1 -> y:T2 | axis:int=1 | T1: i4 int8 uint8 int16 uint16 int32; T2: float16 float`},
	},
	Infer: func(f *Infer) error {
		f.SetElem(0, f.Type(1).Elem)
		return sameShape(f)
	},
	Eval: func(e *Eval) error {
		y, err := e.delegate(evalDequantizeLinear, 19, e.Tensor(0), e.Tensor(1), e.Tensor(2))
		e.Set(0, y)
		return err
	},
}

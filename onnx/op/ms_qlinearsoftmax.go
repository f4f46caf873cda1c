package op

var opMsQLinearSoftmax = &Def{
	Name:   "QLinearSoftmax",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T X_scale:float x_zero_point?:T y_scale:float y_zero_point:T -> Y:T | axis:int=-1 opset:int! | T: uint8 int8`},
	},
	Infer: sameShape,
	Eval:  evalQLinearSoftmax,
}

// evalQLinearSoftmax follows the opset that the attribute names: before 13,
// the axes from axis on are one.
func evalQLinearSoftmax(e *Eval) error {
	x, err := e.dequantized(0)
	if err != nil {
		return err
	}
	since := int64(13)
	if e.Int("opset") < 13 {
		since = 11
	}
	y, err := e.delegate(opSoftmax.Eval, since, x)
	if err != nil {
		return err
	}
	return e.setQuantized(e.Tensor(0).Type, y.Shape, y.Floats(), 3)
}

package op

var opMsQLinearWhere = &Def{
	Name:   "QLinearWhere",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `condition:B X:T x_scale:TF x_zero_point:T Y:T y_scale:TF y_zero_point:T z_scale:TF z_zero_point:T -> Z:T | | B: bool; TF: float; T: int8 uint8`},
	},
	Flags: Elementwise,
	Infer: func(f *Infer) error { return f.broadcast(0, 1, 4) },
	Eval:  evalQLinearWhere,
}

func evalQLinearWhere(e *Eval) error {
	x, err := e.dequantized(1)
	if err != nil {
		return err
	}
	y, err := e.dequantized(4)
	if err != nil {
		return err
	}
	z, err := e.delegate(evalWhere, 16, e.Tensor(0), x, y)
	if err != nil {
		return err
	}
	return e.setQuantized(e.Tensor(1).Type, z.Shape, z.Floats(), 7)
}

package op

var opMsQuantizeLinear = &Def{
	Name:   "QuantizeLinear",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `x:T1 y_scale:T1 y_zero_point?:T2 -> y:T2 | axis:int=1 | T1: float16 float; T2: i4 int8 uint8 int16 uint16`},
	},
	Infer: inferQuantizeLinear,
	Eval:  evalQuantizeLinear,
}

package op

var opMsQLinearMul = quantizedBinary(&Def{
	Name: "QLinearMul",
	Versions: []Version{
		{Since: 1, Schema: `A:T A_scale:float A_zero_point?:T B:T B_scale:float B_zero_point?:T C_scale:float C_zero_point?:T -> C:T | | T: uint8 int8`},
	},
}, func(a, b float64) float64 { return a * b })

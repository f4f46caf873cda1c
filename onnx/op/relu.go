package op

var opRelu = unary(&Def{
	Name:  "Relu",
	Quant: Quant{Kind: QuantSame},
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 13, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
		{Since: 14, Schema: `X:T -> Y:T |  | T: int fp bfloat16`},
	},
}, plain(func(x float64) float64 { return max(x, 0) }))

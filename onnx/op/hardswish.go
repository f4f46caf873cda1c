package op

var opHardSwish = unary(&Def{
	Name: "HardSwish",
	Versions: []Version{
		{Since: 14, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, plain(func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }))

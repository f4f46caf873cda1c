package op

var opReciprocal = unary(&Def{
	Name: "Reciprocal",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 13, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
}, plain(func(x float64) float64 { return 1 / x }))

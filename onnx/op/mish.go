package op

import "math"

var opMish = unary(&Def{
	Name: "Mish",
	Versions: []Version{
		{Since: 18, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, plain(func(x float64) float64 { return x * math.Tanh(softplus(x)) }))

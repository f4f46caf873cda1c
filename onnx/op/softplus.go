package op

import "math"

var opSoftplus = unary(&Def{
	Name: "Softplus",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, plain(softplus))

// softplus is log(1 + e^x), computed without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

package op

import "math"

var opSigmoid = unary(&Def{
	Name: "Sigmoid",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 13, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, plain(sigmoid))

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

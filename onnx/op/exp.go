package op

import "math"

var opExp = unary(&Def{
	Name: "Exp",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 13, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, plain(math.Exp))

package op

import "math"

var opErf = unary(&Def{
	Name: "Erf",
	Versions: []Version{
		{Since: 9, Schema: `input:T -> output:T |  | T: num`},
		{Since: 13, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, plain(math.Erf))

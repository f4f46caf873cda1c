package op

import "math"

var opSoftsign = unary(&Def{
	Name: "Softsign",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(func(x float64) float64 { return x / (1 + math.Abs(x)) }))

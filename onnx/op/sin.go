package op

import "math"

var opSin = unary(&Def{
	Name: "Sin",
	Versions: []Version{
		{Since: 7, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Sin))

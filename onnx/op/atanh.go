package op

import "math"

var opAtanh = unary(&Def{
	Name: "Atanh",
	Versions: []Version{
		{Since: 9, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Atanh))

package op

import "math"

var opAcos = unary(&Def{
	Name: "Acos",
	Versions: []Version{
		{Since: 7, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Acos))

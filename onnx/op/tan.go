package op

import "math"

var opTan = unary(&Def{
	Name: "Tan",
	Versions: []Version{
		{Since: 7, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Tan))

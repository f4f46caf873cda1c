package op

import "math"

var opAtan = unary(&Def{
	Name: "Atan",
	Versions: []Version{
		{Since: 7, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Atan))

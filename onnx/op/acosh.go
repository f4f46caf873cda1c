package op

import "math"

var opAcosh = unary(&Def{
	Name: "Acosh",
	Versions: []Version{
		{Since: 9, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Acosh))

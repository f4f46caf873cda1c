package op

import "math"

var opSinh = unary(&Def{
	Name: "Sinh",
	Versions: []Version{
		{Since: 9, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Sinh))

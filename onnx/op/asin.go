package op

import "math"

var opAsin = unary(&Def{
	Name: "Asin",
	Versions: []Version{
		{Since: 7, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 22, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Asin))

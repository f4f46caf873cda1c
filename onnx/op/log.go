package op

import "math"

var opLog = unary(&Def{
	Name: "Log",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `input:T -> output:T |  | T: fp`},
		{Since: 13, Schema: `input:T -> output:T |  | T: fp bfloat16`},
	},
}, plain(math.Log))

package op

import "math"

var opFloor = passesWhole(unary(&Def{
	Name: "Floor",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 13, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Check: Exact,
}, plain(math.Floor)))

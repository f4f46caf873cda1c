package op

import "math"

var opRound = passesWhole(unary(&Def{
	Name: "Round",
	Versions: []Version{
		{Since: 11, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Check: Exact,
}, plain(math.RoundToEven)))

package op

import "math"

var opIsNaN = predicate(&Def{
	Name: "IsNaN",
	Versions: []Version{
		{Since: 9, Schema: `X:T1 -> Y:T2 |  | T1: fp; T2: bool`},
		{Since: 13, Schema: `X:T1 -> Y:T2 |  | T1: fp bfloat16; T2: bool`},
		{Since: 20, Schema: `X:T1 -> Y:T2 |  | T1: fp f8 bfloat16; T2: bool`},
	},
}, func(*Attrs) func(float64) bool { return math.IsNaN })

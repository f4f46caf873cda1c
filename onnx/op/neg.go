package op

var opNeg = unaryInt(&Def{
	Name: "Neg",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T |  | T: int fp`},
		{Since: 13, Schema: `X:T -> Y:T |  | T: int fp bfloat16`},
	},
	Check: Exact,
}, func(x float64) float64 { return -x }, func(x int64) int64 { return -x }, nil)

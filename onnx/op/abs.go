package op

import "math"

var opAbs = unaryInt(&Def{
	Name: "Abs",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T |  | T: num`},
		{Since: 13, Schema: `X:T -> Y:T |  | T: num bfloat16`},
	},
	Check: Exact,
}, math.Abs, func(x int64) int64 { return max(x, -x) }, func(x uint64) uint64 { return x })

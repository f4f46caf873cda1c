package op

import "math"

var opIsInf = predicate(&Def{
	Name: "IsInf",
	Versions: []Version{
		{Since: 10, Schema: `X:T1 -> Y:T2 | detect_negative:int=1 detect_positive:int=1 | T1: float double; T2: bool`},
		{Since: 20, Schema: `X:T1 -> Y:T2 | detect_negative:int=1 detect_positive:int=1 | T1: fp f8 bfloat16; T2: bool`},
	},
}, func(a *Attrs) func(float64) bool {
	pos, neg := a.Int("detect_positive") != 0, a.Int("detect_negative") != 0
	return func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) }
})

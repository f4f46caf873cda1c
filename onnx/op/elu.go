package op

import "math"

var opElu = unary(&Def{
	Name: "Elu",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | alpha:float=1 consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T | alpha:float=1 | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T | alpha:float=1 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha := a.Float("alpha")
	return func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}
})

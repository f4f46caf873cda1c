package op

import "math"

var opSelu = unary(&Def{
	Name: "Selu",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | alpha:float=1.67320001 consumed_inputs:ints gamma:float=1.05069995 | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T | alpha:float=1.67326319 gamma:float=1.05070102 | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T | alpha:float=1.67326319 gamma:float=1.05070102 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha, gamma := a.Float("alpha"), a.Float("gamma")
	return func(x float64) float64 {
		if x <= 0 {
			return gamma * alpha * math.Expm1(x)
		}
		return gamma * x
	}
})

package op

import "math"

var opCelu = unary(&Def{
	Name: "Celu",
	Versions: []Version{
		{Since: 12, Schema: `X:T -> Y:T | alpha:float=1 | T: float`},
		{Since: 28, Schema: `X:T -> Y:T | alpha:float=1 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha := a.Float("alpha")
	return func(x float64) float64 {
		return max(x, 0) + min(0, alpha*math.Expm1(x/alpha))
	}
})

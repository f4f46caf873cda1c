package op

var opThresholdedRelu = unary(&Def{
	Name: "ThresholdedRelu",
	Versions: []Version{
		{Since: 10, Schema: `X:T -> Y:T | alpha:float=1 | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T | alpha:float=1 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha := a.Float("alpha")
	return func(x float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}
})

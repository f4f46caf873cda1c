package op

var opHardSigmoid = unary(&Def{
	Name: "HardSigmoid",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | alpha:float=0.200000003 beta:float=0.5 consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T | alpha:float=0.200000003 beta:float=0.5 | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T | alpha:float=0.200000003 beta:float=0.5 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha, beta := a.Float("alpha"), a.Float("beta")
	return func(x float64) float64 { return min(max(alpha*x+beta, 0), 1) }
})

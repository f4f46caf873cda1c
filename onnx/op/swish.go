package op

var opSwish = unary(&Def{
	Name: "Swish",
	Versions: []Version{
		{Since: 24, Schema: `X:T -> Y:T | alpha:float=1 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha := a.Float("alpha")
	return func(x float64) float64 { return x * sigmoid(alpha*x) }
})

package op

var opMsQuickGelu = unary(&Def{
	Name:   "QuickGelu",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | alpha:float=1.702 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha := a.Float("alpha")
	return func(x float64) float64 { return x * sigmoid(alpha*x) }
})

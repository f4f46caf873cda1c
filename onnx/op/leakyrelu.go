package op

var opLeakyRelu = unary(&Def{
	Name: "LeakyRelu",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | alpha:float=0.00999999978 consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `X:T -> Y:T | alpha:float=0.00999999978 | T: fp`},
		{Since: 16, Schema: `X:T -> Y:T | alpha:float=0.00999999978 | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	alpha := a.Float("alpha")
	return func(x float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}
})

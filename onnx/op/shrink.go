package op

var opShrink = unary(&Def{
	Name: "Shrink",
	Versions: []Version{
		{Since: 9, Schema: `input:T -> output:T | bias:float=0 lambd:float=0.5 | T: num`},
	},
}, func(a *Attrs) func(float64) float64 {
	bias, lambd := a.Float("bias"), a.Float("lambd")
	return func(x float64) float64 {
		switch {
		case x < -lambd:
			return x + bias
		case x > lambd:
			return x - bias
		}
		return 0
	}
})

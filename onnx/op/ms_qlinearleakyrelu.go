package op

var opMsQLinearLeakyRelu = quantizedUnary(&Def{
	Name: "QLinearLeakyRelu",
	Versions: []Version{
		{Since: 1, Schema: `X:T X_scale:float X_zero_point?:T Y_scale:float Y_zero_point?:T -> Y:T | alpha:float=0.0099999998 | T: uint8 int8`},
	},
}, func(a *Attrs) func(float64) float64 {
	alpha := a.Float("alpha")
	return func(x float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}
})

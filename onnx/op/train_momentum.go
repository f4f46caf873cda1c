package op

var opTrainMomentum = optimizer(&Def{
	Name: "Momentum",
	Versions: []Version{
		{Since: 1, Schema: `R:T1 T:T2 inputs+~:T3 -> outputs+~:T3 | alpha:float! beta:float! mode:string! norm_coefficient:float! | T1: float double; T2: int64; T3: float double`},
	},
}, 1, func(a *Attrs, r float64, t int64) func(x, g float64, s []float64) float64 {
	alpha, beta, nesterov := a.Float("alpha"), a.Float("beta"), a.Str("mode") == "nesterov"
	if t == 0 {
		beta = 1
	}
	return func(x, g float64, s []float64) float64 {
		s[0] = alpha*s[0] + beta*g
		if nesterov {
			return x - r*(g+alpha*s[0])
		}
		return x - r*s[0]
	}
})

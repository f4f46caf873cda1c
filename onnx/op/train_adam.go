package op

import "math"

var opTrainAdam = optimizer(&Def{
	Name: "Adam",
	Versions: []Version{
		{Since: 1, Schema: `R:T1 T:T2 inputs+~:T3 -> outputs+~:T3 | alpha:float=0.89999998 beta:float=0.99900001 epsilon:float=1e-06 norm_coefficient:float=0 norm_coefficient_post:float=0 | T1: float double; T2: int64; T3: float double`},
	},
}, 2, func(a *Attrs, r float64, t int64) func(x, g float64, s []float64) float64 {
	alpha, beta, epsilon := a.Float("alpha"), a.Float("beta"), a.Float("epsilon")
	if t > 0 { // the averages start at zero
		r *= math.Sqrt(1-math.Pow(beta, float64(t))) / (1 - math.Pow(alpha, float64(t)))
	}
	post := 1 - a.Float("norm_coefficient_post")
	return func(x, g float64, s []float64) float64 {
		s[0] = alpha*s[0] + (1-alpha)*g
		s[1] = beta*s[1] + (1-beta)*g*g
		return post * (x - r*s[0]/(math.Sqrt(s[1])+epsilon))
	}
})

package op

import "math"

var opTrainAdagrad = optimizer(&Def{
	Name: "Adagrad",
	Versions: []Version{
		{Since: 1, Schema: `R:T1 T:T2 inputs+~:T3 -> outputs+~:T3 | decay_factor:float=0 epsilon:float=1e-06 norm_coefficient:float=0 | T1: float double; T2: int64; T3: float double`},
	},
}, 1, func(a *Attrs, r float64, t int64) func(x, g float64, s []float64) float64 {
	rate, epsilon := r/(1+float64(t)*a.Float("decay_factor")), a.Float("epsilon")
	return func(x, g float64, s []float64) float64 {
		s[0] += g * g
		return x - rate*g/(math.Sqrt(s[0])+epsilon)
	}
})

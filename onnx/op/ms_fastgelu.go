package op

import "math"

// FastGelu is 0.5x(1 + tanh(sqrt(2/pi)(x + 0.044715x^3))).
var opMsFastGelu = biasedUnary(&Def{
	Name:   "FastGelu",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T bias?:T -> Y:T | | T: fp bfloat16`},
	},
}, func(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
})

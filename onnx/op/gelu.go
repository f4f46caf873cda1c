package op

import "math"

var opGelu = unary(&Def{
	Name: "Gelu",
	Versions: []Version{
		{Since: 20, Schema: `X:T -> Y:T | approximate:string="none" | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(a *Attrs) func(float64) float64 {
	if a.Str("approximate") == "tanh" {
		return func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}
	}
	return gelu
})

// gelu is x * Phi(x).
func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

package op

var opGlobalMaxPool = globalPool(&Def{
	Name: "GlobalMaxPool",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T |  | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T |  | T: fp bfloat16`},
	},
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
}, func(*Attrs) func([]float64) float64 { return maxFloats })

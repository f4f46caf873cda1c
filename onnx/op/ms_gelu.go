package op

var opMsGelu = unary(&Def{
	Name:   "Gelu",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, plain(gelu))

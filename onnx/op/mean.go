package op

var opMean = variadic(&Def{
	Name: "Mean",
	Versions: []Version{
		{Since: 1, Schema: `data_0+:T -> mean:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `data_0+:T -> mean:T |  | T: fp`},
		{Since: 8, Schema: `data_0+:T -> mean:T |  | T: fp`},
		{Since: 13, Schema: `data_0+:T -> mean:T |  | T: fp bfloat16`},
	},
},
	func(a, b float64) float64 { return a + b }, nil, nil,
	func(sum float64, n int) float64 { return sum / float64(n) })

package op

var opSum = variadic(&Def{
	Name: "Sum",
	Versions: []Version{
		{Since: 1, Schema: `data_0+:T -> sum:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `data_0+:T -> sum:T |  | T: fp`},
		{Since: 8, Schema: `data_0+:T -> sum:T |  | T: fp`},
		{Since: 13, Schema: `data_0+:T -> sum:T |  | T: fp bfloat16`},
	},
},
	func(a, b float64) float64 { return a + b },
	func(a, b int64) int64 { return a + b },
	func(a, b uint64) uint64 { return a + b }, nil)

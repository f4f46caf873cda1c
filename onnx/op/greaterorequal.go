package op

var opGreaterOrEqual = compare(&Def{
	Name: "GreaterOrEqual",
	Versions: []Version{
		{Since: 12, Schema: `A:T B:T -> C:T1 |  | T: num; T1: bool`},
		{Since: 16, Schema: `A:T B:T -> C:T1 |  | T: num bfloat16; T1: bool`},
	},
},
	func(a, b float64) bool { return a >= b },
	func(a, b int64) bool { return a >= b },
	func(a, b uint64) bool { return a >= b })

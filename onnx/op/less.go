package op

var opLess = compare(&Def{
	Name: "Less",
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> C:T1 | axis:int broadcast:int=0 | T: fp; T1: bool`},
		{Since: 7, Schema: `A:T B:T -> C:T1 |  | T: fp; T1: bool`},
		{Since: 9, Schema: `A:T B:T -> C:T1 |  | T: num; T1: bool`},
		{Since: 13, Schema: `A:T B:T -> C:T1 |  | T: num bfloat16; T1: bool`},
	},
},
	func(a, b float64) bool { return a < b },
	func(a, b int64) bool { return a < b },
	func(a, b uint64) bool { return a < b })

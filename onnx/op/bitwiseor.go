package op

var opBitwiseOr = arithmetic(&Def{
	Name: "BitwiseOr",
	Versions: []Version{
		{Since: 18, Schema: `A:T B:T -> C:T |  | T: int uint`},
	},
	Check: Exact,
	Flags: Commutative,
}, nil,
	func(a, b int64) int64 { return a | b },
	func(a, b uint64) uint64 { return a | b })

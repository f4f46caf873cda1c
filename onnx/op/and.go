package op

var opAnd = logical(&Def{
	Name: "And",
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> C:T1 | axis:int broadcast:int=0 | T: bool; T1: bool`},
		{Since: 7, Schema: `A:T B:T -> C:T1 |  | T: bool; T1: bool`},
	},
	Flags: Commutative,
}, func(a, b bool) bool { return a && b })

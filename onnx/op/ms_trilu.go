package op

var opMsTrilu = &Def{
	Name:   "Trilu",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T k?:int64 -> Y:T | upper:int=1 | T: num bfloat16 bool`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: sameShape,
	Eval:  evalTrilu,
}

package op

var opScatter = &Def{
	Name: "Scatter",
	Versions: []Version{
		{Since: 9, Schema: `data:T indices:Tind updates:T -> output:T | axis:int=0 | T: all; Tind: int32 int64`},
		{Since: 11, Schema: `data:T indices:Tind updates:T -> output:T | axis:int=0 | T: all; Tind: int32 int64`, Deprecated: true},
	},
	Flags: DataMovement,
	Infer: sameShape,
	Eval:  evalScatterElements,
}

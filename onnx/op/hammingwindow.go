package op

var opHammingWindow = windowFunction(&Def{
	Name: "HammingWindow",
	Versions: []Version{
		{Since: 17, Schema: `size:T1 -> output:T2 | output_datatype:int=1 periodic:int=1 | T1: int32 int64; T2: num bfloat16`},
	},
}, 25.0/46, 21.0/46, 0)

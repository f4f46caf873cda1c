package op

var opRandomUniformLike = randomLike(&Def{
	Name: "RandomUniformLike",
	Versions: []Version{
		{Since: 1, Schema: `input:T1 -> output:T2 | dtype:int high:float=1 low:float=0 seed:float | T1: all; T2: fp`},
		{Since: 22, Schema: `input:T1 -> output:T2 | dtype:int high:float=1 low:float=0 seed:float | T1: all bfloat16; T2: fp bfloat16`},
	},
}, drawUniform)

package op

var opRandomNormalLike = randomLike(&Def{
	Name: "RandomNormalLike",
	Versions: []Version{
		{Since: 1, Schema: `input:T1 -> output:T2 | dtype:int mean:float=0 scale:float=1 seed:float | T1: all; T2: fp`},
		{Since: 22, Schema: `input:T1 -> output:T2 | dtype:int mean:float=0 scale:float=1 seed:float | T1: all bfloat16; T2: fp bfloat16`},
	},
}, drawNormal)

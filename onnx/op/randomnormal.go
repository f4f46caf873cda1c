package op

var opRandomNormal = randomShape(&Def{
	Name: "RandomNormal",
	Versions: []Version{
		{Since: 1, Schema: `-> output:T | dtype:int=1 mean:float=0 scale:float=1 seed:float shape:ints! | T: fp`},
		{Since: 22, Schema: `-> output:T | dtype:int=1 mean:float=0 scale:float=1 seed:float shape:ints! | T: fp bfloat16`},
	},
}, drawNormal)

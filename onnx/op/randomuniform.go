package op

var opRandomUniform = randomShape(&Def{
	Name: "RandomUniform",
	Versions: []Version{
		{Since: 1, Schema: `-> output:T | dtype:int=1 high:float=1 low:float=0 seed:float shape:ints! | T: fp`},
		{Since: 22, Schema: `-> output:T | dtype:int=1 high:float=1 low:float=0 seed:float shape:ints! | T: fp bfloat16`},
	},
}, drawUniform)

package op

var opLogSoftmax = alongAxis(&Def{
	Name: "LogSoftmax",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | axis:int=1 | T: fp`},
		{Since: 11, Schema: `input:T -> output:T | axis:int=1 | T: fp`},
		{Since: 13, Schema: `input:T -> output:T | axis:int=-1 | T: fp bfloat16`},
	},
}, logSoftmax)

package op

var opArgMin = argReduce(&Def{
	Name: "ArgMin",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> reduced:int64 | axis:int=0 keepdims:int=1 | T: num`},
		{Since: 11, Schema: `data:T -> reduced:int64 | axis:int=0 keepdims:int=1 | T: num`},
		{Since: 12, Schema: `data:T -> reduced:int64 | axis:int=0 keepdims:int=1 select_last_index:int=0 | T: num`},
		{Since: 13, Schema: `data:T -> reduced:int64 | axis:int=0 keepdims:int=1 select_last_index:int=0 | T: num bfloat16`},
	},
}, false)

package op

var opCumSum = cumulative(&Def{
	Name: "CumSum",
	Versions: []Version{
		{Since: 11, Schema: `x:T axis:T2 -> y:T | exclusive:int=0 reverse:int=0 | T: uint32 uint64 int32 int64 float double; T2: int32 int64`},
		{Since: 14, Schema: `x:T axis:T2 -> y:T | exclusive:int=0 reverse:int=0 | T: fp uint32 uint64 int32 int64 bfloat16; T2: int32 int64`},
	},
}, 0, func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b })

package op

var opReduceMean = reduction(&Def{
	Name: "ReduceMean",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 11, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 13, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64 bfloat16`},
		{Since: 18, Schema: `data:T axes?:int64 -> reduced:T | keepdims:int=1 noop_with_empty_axes:int=0 | T: fp uint32 uint64 int32 int64 bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
}, func(v []float64) float64 { return sumFloats(v) / float64(len(v)) }, func(v []int64) int64 { return sumInts(v) / int64(max(len(v), 1)) })

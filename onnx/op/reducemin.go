package op

var opReduceMin = reductionOfType(&Def{
	Name: "ReduceMin",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 11, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 12, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64 uint8 int8`},
		{Since: 13, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64 bfloat16 uint8 int8`},
		{Since: 18, Schema: `data:T axes?:int64 -> reduced:T | keepdims:int=1 noop_with_empty_axes:int=0 | T: fp uint32 uint64 int32 int64 bfloat16 uint8 int8`},
		{Since: 20, Schema: `data:T axes?:int64 -> reduced:T | keepdims:int=1 noop_with_empty_axes:int=0 | T: fp uint32 uint64 int32 int64 bfloat16 uint8 int8 bool`},
	},
	Check: Exact,
}, minFloats, minInts)

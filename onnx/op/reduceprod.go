package op

var opReduceProd = reduction(&Def{
	Name: "ReduceProd",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 11, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 13, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64 bfloat16`},
		{Since: 18, Schema: `data:T axes?:int64 -> reduced:T | keepdims:int=1 noop_with_empty_axes:int=0 | T: fp uint32 uint64 int32 int64 bfloat16`},
	},
}, prodFloats, prodInts)

func prodFloats(v []float64) float64 {
	p := 1.0
	for _, x := range v {
		p *= x
	}
	return p
}

func prodInts(v []int64) int64 {
	p := int64(1)
	for _, x := range v {
		p *= x
	}
	return p
}

package op

var opReduceSumSquare = reduction(&Def{
	Name: "ReduceSumSquare",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 11, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64`},
		{Since: 13, Schema: `data:T -> reduced:T | axes:ints keepdims:int=1 | T: fp uint32 uint64 int32 int64 bfloat16`},
		{Since: 18, Schema: `data:T axes?:int64 -> reduced:T | keepdims:int=1 noop_with_empty_axes:int=0 | T: fp uint32 uint64 int32 int64 bfloat16`},
	},
}, sumSquares, sumSquareInts)

func sumSquares(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x * x
	}
	return s
}

func sumSquareInts(v []int64) int64 {
	s := int64(0)
	for _, x := range v {
		s += x * x
	}
	return s
}

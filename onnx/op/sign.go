package op

var opSign = unaryInt(&Def{
	Name: "Sign",
	Versions: []Version{
		{Since: 9, Schema: `input:T -> output:T |  | T: num`},
		{Since: 13, Schema: `input:T -> output:T |  | T: num bfloat16`},
	},
	Check: Exact,
}, sign, func(x int64) int64 { return min(max(x, -1), 1) }, func(x uint64) uint64 { return min(x, 1) })

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x
}

package op

import "onnxopt/onnx/dim"

var opSub = withShapeArithmetic(arithmetic(&Def{
	Name:  "Sub",
	Quant: Quant{Kind: QuantEach, Act: []int{0, 1}},
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> C:T | axis:int broadcast:int=0 consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `A:T B:T -> C:T | axis:int broadcast:int=0 | T: fp uint32 uint64 int32 int64`},
		{Since: 7, Schema: `A:T B:T -> C:T |  | T: fp uint32 uint64 int32 int64`},
		{Since: 13, Schema: `A:T B:T -> C:T |  | T: fp uint32 uint64 int32 int64 bfloat16`},
		{Since: 14, Schema: `A:T B:T -> C:T |  | T: num bfloat16`},
	},
},
	func(a, b float64) float64 { return a - b },
	func(a, b int64) int64 { return a - b },
	func(a, b uint64) uint64 { return a - b }), dim.Dim.Sub)

package op

import "onnxopt/onnx/dim"

var opMax = withShapeArithmetic(variadic(&Def{
	Name: "Max",
	Versions: []Version{
		{Since: 1, Schema: `data_0+:T -> max:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `data_0+:T -> max:T |  | T: fp`},
		{Since: 8, Schema: `data_0+:T -> max:T |  | T: fp`},
		{Since: 12, Schema: `data_0+:T -> max:T |  | T: num`},
		{Since: 13, Schema: `data_0+:T -> max:T |  | T: num bfloat16`},
	},
	Quant: Quant{Kind: QuantEach, Act: []int{0, 1}},
},
	func(a, b float64) float64 { return max(a, b) },
	func(a, b int64) int64 { return max(a, b) },
	func(a, b uint64) uint64 { return max(a, b) }, nil), dim.Dim.Max)

package op

import "onnxopt/onnx/dim"

var opMin = withShapeArithmetic(variadic(&Def{
	Name: "Min",
	Versions: []Version{
		{Since: 1, Schema: `data_0+:T -> min:T | consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `data_0+:T -> min:T |  | T: fp`},
		{Since: 8, Schema: `data_0+:T -> min:T |  | T: fp`},
		{Since: 12, Schema: `data_0+:T -> min:T |  | T: num`},
		{Since: 13, Schema: `data_0+:T -> min:T |  | T: num bfloat16`},
	},
	Quant: Quant{Kind: QuantEach, Act: []int{0, 1}},
},
	func(a, b float64) float64 { return min(a, b) },
	func(a, b int64) int64 { return min(a, b) },
	func(a, b uint64) uint64 { return min(a, b) }, nil), dim.Dim.Min)

package op

import "onnxopt/onnx/dim"

var opDiv = withShapeArithmetic(arithmetic(&Def{
	Name: "Div",
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> C:T | axis:int broadcast:int=0 consumed_inputs:ints | T: fp`},
		{Since: 6, Schema: `A:T B:T -> C:T | axis:int broadcast:int=0 | T: fp uint32 uint64 int32 int64`},
		{Since: 7, Schema: `A:T B:T -> C:T |  | T: fp uint32 uint64 int32 int64`},
		{Since: 13, Schema: `A:T B:T -> C:T |  | T: fp uint32 uint64 int32 int64 bfloat16`},
		{Since: 14, Schema: `A:T B:T -> C:T |  | T: num bfloat16`},
	},
},
	func(a, b float64) float64 { return a / b }, divInt[int64], divInt[uint64]), divDim)

// divInt truncates toward zero. Division by zero, which the standard leaves
// undefined, is an error rather than a crash.
func divInt[T int64 | uint64](a, b T) T {
	if b == 0 {
		panic("integer division by zero")
	}
	return a / b
}

// divDim is the quotient of two sizes: truncation is floor where both are
// known not to be negative.
func divDim(a, b dim.Dim) dim.Dim {
	if k, ok := b.Const(); !ok || k <= 0 || !a.NonNegative() {
		return dim.Unknown
	}
	return a.FloorDiv(b)
}

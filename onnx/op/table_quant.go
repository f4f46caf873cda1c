package op

var quantTable = []*Def{
	opConvInteger,
	opDequantizeLinear,
	opDynamicQuantizeLinear,
	opMatMulInteger,
	opQLinearConv,
	opQLinearMatMul,
	opQuantizeLinear,
}

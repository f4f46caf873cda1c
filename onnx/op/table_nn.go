package op

var nnTable = []*Def{
	opConv,
	opRelu,
}

package op

var mathTable = []*Def{
	opAdd,
	opDiv,
	opGreater,
	opMul,
	opSub,
}

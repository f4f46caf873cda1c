package op

var tensorTable = []*Def{
	opReshape,
	opShape,
}

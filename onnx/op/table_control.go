package op

var controlTable = []*Def{
	opIf,
}

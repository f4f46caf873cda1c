package op

var controlTable = []*Def{
	opIf,
	opLoop,
	opScan,
}

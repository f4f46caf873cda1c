package op

var mlTable = []*Def{}

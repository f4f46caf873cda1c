package op

var quantTable = []*Def{}

package op

var microsoftTable = []*Def{}

package op

var sequenceTable = []*Def{}

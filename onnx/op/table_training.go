package op

var trainingTable = []*Def{}

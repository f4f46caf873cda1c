package op

var trainingTable = []*Def{
	opTrainAdagrad,
	opTrainAdam,
	opTrainGradient,
	opTrainMomentum,
}

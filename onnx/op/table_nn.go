package op

var nnTable = []*Def{
	opCelu,
	opConv,
	opDropout,
	opElu,
	opGelu,
	opHardSigmoid,
	opHardSwish,
	opLeakyRelu,
	opMish,
	opPRelu,
	opRelu,
	opSelu,
	opShrink,
	opSigmoid,
	opSoftplus,
	opSoftsign,
	opSwish,
	opThresholdedRelu,
}

package op

var sequenceTable = []*Def{
	opConcatFromSequence,
	opOptional,
	opOptionalGetElement,
	opOptionalHasElement,
	opSequenceAt,
	opSequenceConstruct,
	opSequenceEmpty,
	opSequenceErase,
	opSequenceInsert,
	opSequenceLength,
	opSequenceMap,
	opSplitToSequence,
}

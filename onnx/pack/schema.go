package pack

// message is a message type of the ONNX wire format.
type message uint8

const (
	modelMsg message = iota + 1
	opsetMsg
	entryMsg
	graphMsg
	annotationMsg
	valueMsg
	nodeMsg
	attrMsg
	tensorMsg
	segmentMsg
	sparseMsg
	typeMsg
	tensorTypeMsg
	shapeMsg
	dimMsg
	elemTypeMsg // sequence and optional types
	mapTypeMsg
	opaqueMsg
	functionMsg
	dictionaryMsg // of package pack: models
)

// nested is the message fields of each message, by number. Fields that are not
// listed are strings, numbers or packed numbers, which the wire type tells.
var nested = map[message]map[int]message{
	modelMsg:      {7: graphMsg, 8: opsetMsg, 14: entryMsg, 25: functionMsg},
	graphMsg:      {1: nodeMsg, 5: tensorMsg, 11: valueMsg, 12: valueMsg, 13: valueMsg, 14: annotationMsg, 15: sparseMsg, 16: entryMsg},
	annotationMsg: {2: entryMsg},
	valueMsg:      {2: typeMsg, 4: entryMsg},
	nodeMsg:       {5: attrMsg, 9: entryMsg},
	attrMsg:       {5: tensorMsg, 6: graphMsg, 10: tensorMsg, 11: graphMsg, 14: typeMsg, 15: typeMsg, 22: sparseMsg, 23: sparseMsg},
	tensorMsg:     {3: segmentMsg, 13: entryMsg, 16: entryMsg},
	sparseMsg:     {1: tensorMsg, 2: tensorMsg},
	typeMsg:       {1: tensorTypeMsg, 4: elemTypeMsg, 5: mapTypeMsg, 7: opaqueMsg, 8: tensorTypeMsg, 9: elemTypeMsg},
	tensorTypeMsg: {2: shapeMsg},
	shapeMsg:      {1: dimMsg},
	elemTypeMsg:   {1: typeMsg},
	mapTypeMsg:    {2: typeMsg},
	dictionaryMsg: {1: modelMsg},
	functionMsg:   {7: nodeMsg, 9: opsetMsg, 11: attrMsg, 12: valueMsg, 14: entryMsg},
}

// numbers is the fields that canonical files write as varints, and floats
// those of four bytes; all others are length-delimited.
var (
	numbers = map[message][]int{
		modelMsg: {1, 5}, opsetMsg: {2}, attrMsg: {3, 8, 20}, tensorMsg: {1, 2, 14}, segmentMsg: {1, 2},
		sparseMsg: {3}, tensorTypeMsg: {1}, dimMsg: {1}, mapTypeMsg: {1},
	}
	floats = map[message][]int{attrMsg: {2, 7}}
)

// Fields that the models below know.
const (
	nodeInput, nodeOutput, nodeName, nodeOp               = 1, 2, 3, 4
	attrName                                              = 1
	tensorDims, tensorType, tensorFloats                  = 1, 2, 4
	tensorName, tensorRaw                                 = 8, 9
	graphNode, graphInitializer, graphInput, graphOutput  = 1, 5, 11, 12
	graphValue                                            = 13
	valueName                                             = 1
	tensorInt32s, tensorInt64s, tensorDoubles, tensorUint = 5, 7, 10, 11
)

package grad

import (
	"onnxopt/onnx/graph"
)

// Rule is how one operator is computed and differentiated.
type Rule struct {
	Op string
	// make compiles a node: forward fills the outputs, backward adds to the
	// gradients of the inputs that want one.
	make func(n *node) (forward, backward func(), err error)
	// moves marks operators that only copy elements; see movement.
	moves bool
	// all marks rules that compute every output, not only the first.
	all bool
}

// Rules is every gradient rule. Operators without one are run but stop
// gradients; that is an error where a parameter's gradient would pass.
var Rules = []Rule{
	{Op: "Gemm", make: gemmRule},
	{Op: "MatMul", make: matmulRule},
	{Op: "Conv", make: convRule},
	{Op: "ConvTranspose", make: convTransposeRule},

	{Op: "Add", make: binaryRule},
	{Op: "Sub", make: binaryRule},
	{Op: "Mul", make: binaryRule},
	{Op: "Div", make: binaryRule},
	{Op: "Pow", make: binaryRule},
	{Op: "PRelu", make: binaryRule},
	{Op: "Min", make: variadicRule},
	{Op: "Max", make: variadicRule},
	{Op: "Sum", make: variadicRule},
	{Op: "Mean", make: variadicRule},
	{Op: "Where", make: whereRule},

	{Op: "Relu", make: reluRule},
	{Op: "Clip", make: clipRule},
	{Op: "Abs", make: unaryRule},
	{Op: "Neg", make: unaryRule},
	{Op: "Reciprocal", make: unaryRule},
	{Op: "Sqrt", make: unaryRule},
	{Op: "Exp", make: unaryRule},
	{Op: "Log", make: unaryRule},
	{Op: "Erf", make: unaryRule},
	{Op: "Sin", make: unaryRule},
	{Op: "Cos", make: unaryRule},
	{Op: "Tanh", make: unaryRule},
	{Op: "Sigmoid", make: unaryRule},
	{Op: "Softplus", make: unaryRule},
	{Op: "Softsign", make: unaryRule},
	{Op: "Gelu", make: unaryRule},
	{Op: "Mish", make: unaryRule},
	{Op: "LeakyRelu", make: unaryRule},
	{Op: "Elu", make: unaryRule},
	{Op: "Selu", make: unaryRule},
	{Op: "Celu", make: unaryRule},
	{Op: "HardSigmoid", make: unaryRule},
	{Op: "HardSwish", make: unaryRule},
	{Op: "Swish", make: unaryRule},
	{Op: "Softmax", make: softmaxRule},
	{Op: "LogSoftmax", make: softmaxRule},

	{Op: "BatchNormalization", make: batchNormRule},
	{Op: "LayerNormalization", make: layerNormRule},
	{Op: "RMSNormalization", make: layerNormRule},
	{Op: "InstanceNormalization", make: instanceNormRule},
	{Op: "GroupNormalization", make: instanceNormRule},

	{Op: "MaxPool", make: maxPoolRule},
	{Op: "AveragePool", make: averagePoolRule},
	{Op: "GlobalAveragePool", make: globalPoolRule},
	{Op: "GlobalMaxPool", make: globalPoolRule},

	{Op: "ReduceSum", make: reduceRule},
	{Op: "ReduceMean", make: reduceRule},
	{Op: "ReduceMax", make: reduceRule},
	{Op: "ReduceMin", make: reduceRule},
	{Op: "ReduceProd", make: reduceRule},
	{Op: "ReduceL1", make: reduceRule},
	{Op: "ReduceL2", make: reduceRule},
	{Op: "ReduceSumSquare", make: reduceRule},
	{Op: "ReduceLogSum", make: reduceRule},
	{Op: "ReduceLogSumExp", make: reduceRule},

	{Op: "Identity", make: moveRule, moves: true},
	{Op: "Reshape", make: moveRule, moves: true},
	{Op: "Flatten", make: moveRule, moves: true},
	{Op: "Squeeze", make: moveRule, moves: true},
	{Op: "Unsqueeze", make: moveRule, moves: true},
	{Op: "Transpose", make: moveRule, moves: true},
	{Op: "Concat", make: moveRule, moves: true},
	{Op: "Split", make: moveRule, moves: true, all: true},
	{Op: "Slice", make: moveRule, moves: true},
	{Op: "Pad", make: moveRule, moves: true},
	{Op: "Expand", make: moveRule, moves: true},
	{Op: "Tile", make: moveRule, moves: true},
	{Op: "DepthToSpace", make: moveRule, moves: true},
	{Op: "SpaceToDepth", make: moveRule, moves: true},
	{Op: "Trilu", make: moveRule, moves: true},
	{Op: "GatherElements", make: moveRule, moves: true},
	{Op: "GatherND", make: moveRule, moves: true},
	{Op: "Dropout", make: moveRule, moves: true},
	{Op: "Gather", make: gatherRule},
	{Op: "Cast", make: castRule},

	{Op: "LSTM", make: lstmRule, all: true},
	{Op: "GRU", make: gruRule, all: true},
	{Op: "RNN", make: rnnRule, all: true},
}

// findRule is the rule of n's operator, nil if there is none.
func findRule(n *graph.Node) *Rule {
	if graph.CanonicalDomain(n.Domain) != "" {
		return nil
	}
	for i := range Rules {
		if Rules[i].Op == n.Op {
			return &Rules[i]
		}
	}
	return nil
}

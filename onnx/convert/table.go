package convert

import "onnxopt/onnx/graph"

// Adapter is what changed in one operator between opsets Since-1 and Since.
// Both directions end with a check against the other schema, and defaults that
// differ are made explicit, so an adapter does what is beyond that. A nil
// function has nothing more to do.
type Adapter struct {
	Op       string
	Since    int64
	Why      string
	Up, Down func(*step, *graph.Node) error
}

func find(table []Adapter, op string, since int64) *Adapter {
	for i := range table {
		if table[i].Op == op && table[i].Since == since {
			return &table[i]
		}
	}
	return nil
}

// Table is every adapter of ai.onnx, by opset.
var Table = concat(
	[]Adapter{
		{"GlobalLpPool", 2, "p became an integer", integerP, floatP},
		{"LpPool", 2, "p became an integer", integerP, floatP},
		{"Pad", 2, "paddings became pads", renameAttr("paddings", "pads"), renameAttr("pads", "paddings")},
		{"Split", 2, "split could be an input", toAttr("split", 1, false), nil},
		{"GRU", 3, "the default direction was misspelt", set(graph.Str("direction", "forward")), nil},
		{"Concat", 4, "axis had the default 1", set(graph.Int("axis", 1)), nil},
		{"Reshape", 5, "shape became an input", toInput("shape", 1), toAttr("shape", 1, false)},
		{"BatchNormalization", 6, "consumed_inputs was required", nil, set(graph.Ints("consumed_inputs", 0, 0, 0, 1, 1))},
		{"Cast", 6, "to was the name of a type", castToNumber, castToName},
		{"Tile", 6, "tiles and axis became repeats", tileRepeats, tileOneAxis},
		{"PRelu", 7, "a slope was one value a channel", slopeUp, slopeDown},
		{"Gemm", 7, "C broadcasts always", forget("broadcast"), gemmBroadcast},
		{"BatchNormalization", 7, "training is said by the number of outputs", normUp7, set(graph.Int("is_test", 1))},
		{"Dropout", 7, "is_test went, only inference is left", dropoutUp7, set(graph.Int("is_test", 1))},
		{"RNN", 7, "output_sequence went", forget("output_sequence"), set(graph.Int("output_sequence", 1))},
		{"GRU", 7, "output_sequence went", forget("output_sequence"), set(graph.Int("output_sequence", 1))},
		{"LSTM", 7, "output_sequence went", forget("output_sequence"), set(graph.Int("output_sequence", 1))},
		{"Upsample", 7, "height_scale and width_scale became scales", upsampleScales, upsampleSides},
		{"Max", 8, "inputs broadcast", nil, sameShapes},
		{"Min", 8, "inputs broadcast", nil, sameShapes},
		{"Mean", 8, "inputs broadcast", nil, sameShapes},
		{"Sum", 8, "inputs broadcast", nil, sameShapes},
		{"BatchNormalization", 9, "spatial went", spatial, nil},
		{"Scan", 9, "the batch axis and sequence lengths went", scanUp9, scanDown9},
		{"Constant", 9, "constants that are no floats came", nil, typedConstant},
		{"Upsample", 9, "scales became an input", floatsToInput("scales", 1), inputToFloats("scales", 1)},
		{"AveragePool", 10, "ceil_mode", nil, nil},
		{"MaxPool", 10, "dilations and ceil_mode", nil, forgetOnes("dilations")},
		{"Dropout", 10, "the mask became bool", maskUp, maskDown},
		{"Slice", 10, "starts, ends and axes became inputs",
			chain(toInput("starts", 1), toInput("ends", 2), toInput("axes", 3)), sliceDown},
		{"TopK", 10, "k became an input", toInput("k", 1), toAttr("k", 1, true)},
		{"Upsample", 10, "became Resize", upsampleToResize, nil},
		{"Resize", 10, "was Upsample", nil, resizeToUpsample},
		{"Clip", 11, "min and max became inputs",
			chain(scalarToInput("min", 1, -maxFloat32), scalarToInput("max", 2, maxFloat32)),
			chain(inputToScalar("min", 1), inputToScalar("max", 2))},
		{"Pad", 11, "pads and value became inputs",
			chain(toInput("pads", 1), scalarToInput("value", 2, 0)),
			chain(toAttr("pads", 1, false), inputToScalar("value", 2))},
		{"Equal", 11, "types beyond bool, int32 and int64 came", nil, equalDown},
		{"Gemm", 11, "C became optional", nil, gemmZero},
		{"Resize", 11, "coordinate modes, sizes and roi came", resizeUp11, resizeDown11},
		{"TopK", 11, "largest and sorted came", nil, topkDown},
		{"Scatter", 11, "became ScatterElements", renameOp("ScatterElements"), nil},
		{"ScatterElements", 11, "was Scatter", nil, renameOp("Scatter")},
		{"Constant", 11, "sparse_value came", nil, denseConstant},
		{"Constant", 12, "values without a tensor came", nil, tensorConstant},
		{"Dropout", 12, "ratio and the mode became inputs", dropoutUp12, dropoutDown12},
		{"Softmax", 13, "axes before axis are no longer flattened", softmaxUp, softmaxDown},
		{"LogSoftmax", 13, "axes before axis are no longer flattened", softmaxUp, softmaxDown},
		{"Hardmax", 13, "axes before axis are no longer flattened", softmaxUp, softmaxDown},
		{"Squeeze", 13, "axes became an input", toInput("axes", 1), toAttr("axes", 1, false)},
		{"Unsqueeze", 13, "axes became an input", toInput("axes", 1), toAttr("axes", 1, false)},
		{"Split", 13, "split became an input", toInput("split", 1), toAttr("split", 1, false)},
		{"ReduceSum", 13, "axes became an input", toInput("axes", 1), reduceDown},
		{"Erf", 13, "integers went", throughFloat, nil},
		{"Resize", 13, "roi and scales became optional", nil, resizeDown13},
		{"DequantizeLinear", 13, "axis came", nil, oneScale},
		{"QuantizeLinear", 13, "axis came", nil, oneScale},
		{"BatchNormalization", 14, "training_mode came", normUp14, nil},
		{"Reshape", 14, "allowzero came", nil, noZero},
		{"Shape", 15, "start and end came", nil, wholeShape},
		{"RoiAlign", 16, "half_pixel became the default",
			set(graph.Str("coordinate_transformation_mode", "output_half_pixel")), outputHalfPixel},
		{"LpPool", 18, "dilations and ceil_mode came", nil, forgetOnes("dilations")},
		{"Pad", 18, "axes came", nil, allPads},
		{"Resize", 18, "antialias, axes and policies came", nil, resizeDown18},
		{"Split", 18, "equal parts are said by num_outputs", splitUp18, splitDown18},
		{"ScatterElements", 18, "min and max came", nil, without("reduction", "min", "max")},
		{"ScatterND", 18, "min and max came", nil, without("reduction", "min", "max")},
		{"AveragePool", 19, "dilations came", nil, forgetOnes("dilations")},
		{"Cast", 19, "saturate came, for float8", nil, forget("saturate")},
		{"CastLike", 19, "saturate came, for float8", nil, forget("saturate")},
		{"QuantizeLinear", 19, "saturate came, for float8", nil, forget("saturate")},
		{"Pad", 19, "mode wrap came", nil, without("mode", "wrap")},
		{"Resize", 19, "half_pixel_symmetric came", nil, without("coordinate_transformation_mode", "half_pixel_symmetric")},
		{"DFT", 20, "axis became an input", dftUp, dftDown},
		{"GridSample", 20, "modes were renamed", rewords("mode", "bilinear", "linear", "bicubic", "cubic"), gridSampleDown},
		{"GroupNormalization", 21, "scale and bias became one a channel", groupUp, groupDown},
		{"Cast", 24, "round_mode came, for float8e8m0", nil, forget("round_mode")},
		{"CastLike", 24, "round_mode came, for float8e8m0", nil, forget("round_mode")},
		{"ReduceLogSum", 28, "integers went", throughFloat, nil},
		{"ReduceLogSumExp", 28, "integers went", throughFloat, nil},
	},
	each(7, "broadcasting became numpy's", numpyUp, numpyDown,
		"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"),
	each(11, "negative axes came", nil, fromFront("axis", 0),
		"ArgMax", "ArgMin", "Compress", "Concat", "Flatten", "Gather", "Hardmax", "LogSoftmax", "Softmax", "Split"),
	each(11, "negative axes came", nil, fromFront("axes", 0),
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
		"ReduceSum", "ReduceSumSquare", "Squeeze"),
	each(11, "negative axes came", nil, unsqueezeAxes, "Unsqueeze"),
	each(11, "negative axes came", nil, fromFront("axis", 1), "OneHot"),
	each(22, "with ceil_mode, the last window starts before the padding", nil, lastWindow, "AveragePool", "LpPool", "MaxPool"),
	each(18, "axes became an input", toInput("axes", 1), reduceDown,
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"),
	newer,
)

// newer is the operators that older opsets can say with others.
var newer = []Adapter{
	{"ConstantOfShape", 9, "was no operator", nil, constantOfShape},
	{"Celu", 12, "is alpha*Elu(x/alpha)", nil, celu},
	{"GreaterOrEqual", 12, "is Greater or Equal", nil, orEqual("Greater")},
	{"LessOrEqual", 12, "is Less or Equal", nil, orEqual("Less")},
	{"HardSwish", 14, "is x*HardSigmoid(x)", nil, hardSwish},
	{"CastLike", 15, "is Cast to a known type", nil, castLike},
	{"LayerNormalization", 17, "is means, differences and a quotient", nil, layerNorm},
	{"Trilu", 14, "is Where of a mask", nil, trilu},
	{"Mish", 18, "is x*Tanh(Softplus(x))", nil, mish},
	{"Gelu", 20, "is x*Phi(x)", nil, gelu},
	{"Attention", 23, "is two products around a softmax", nil, attention},
	{"RotaryEmbedding", 23, "is products with sines and cosines", nil, rotaryEmbedding},
	{"RMSNormalization", 23, "is squares, means and a quotient", nil, rmsNorm},
	{"Swish", 24, "is x*Sigmoid(alpha*x)", nil, swish},
	{"SwiGLU", 28, "is Swish(a)*b", nil, swiglu},
}

// each is one adapter for several operators.
func each(since int64, why string, up, down adapt, ops ...string) []Adapter {
	var out []Adapter
	for _, op := range ops {
		out = append(out, Adapter{op, since, why, up, down})
	}
	return out
}

func concat(lists ...[]Adapter) []Adapter {
	var out []Adapter
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

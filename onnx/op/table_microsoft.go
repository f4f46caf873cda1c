package op

// microsoft is the domain of the operators that onnxruntime adds.
const microsoft = "com.microsoft"

var microsoftTable = []*Def{
	opMsAttention,
	opMsBiasGelu,
	opMsDequantizeLinear,
	opMsDynamicQuantizeMatMul,
	opMsEmbedLayerNormalization,
	opMsFastGelu,
	opMsFusedConv,
	opMsFusedGemm,
	opMsFusedMatMul,
	opMsGelu,
	opMsMatMulIntegerToFloat,
	opMsMatMulNBits,
	opMsMultiHeadAttention,
	opMsQAttention,
	opMsQGemm,
	opMsQLinearAdd,
	opMsQLinearAveragePool,
	opMsQLinearConcat,
	opMsQLinearGlobalAveragePool,
	opMsQLinearLeakyRelu,
	opMsQLinearMul,
	opMsQLinearSigmoid,
	opMsQLinearSoftmax,
	opMsQuantizeLinear,
	opMsQuickGelu,
	opMsRotaryEmbedding,
	opMsSimplifiedLayerNormalization,
	opMsSkipLayerNormalization,
	opMsSkipSimplifiedLayerNormalization,
}

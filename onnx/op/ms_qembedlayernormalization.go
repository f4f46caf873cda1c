package op

import "onnxopt/onnx/tensor"

var opMsQEmbedLayerNormalization = &Def{
	Name:   "QEmbedLayerNormalization",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `input_ids:T1 segment_ids?:T1 word_embedding_quant:T2 position_embedding_quant:T2 segment_embedding?:T2 gamma_quant:T2 beta_quant:T2 mask?:T1 word_embedding_scale:T position_embedding_scale:T segment_embedding_scale?:T gamma_scale:T beta_scale:T word_embedding_zero_point:T2 position_embedding_zero_point:T2 segment_embedding_zero_point?:T2 gamma_zero_point:T2 beta_zero_point:T2 -> layernorm_out:T mask_index_out:T1 | epsilon:float=1e-12 | T1: int32; T2: int8 uint8; T: float`},
	},
	Infer: inferEmbedLayerNorm,
	Eval:  evalQEmbedLayerNorm,
}

// evalQEmbedLayerNorm is EmbedLayerNormalization of dequantized tables, scale
// and bias: inputs 2 to 6, their scales from slot 8 and zero points from 13 on.
func evalQEmbedLayerNorm(e *Eval) error {
	in := make([]tensor.Value, 8)
	for i := range in {
		in[i] = e.Value(i)
	}
	for i := 2; i <= 6; i++ {
		if in[i] == nil {
			continue
		}
		x, err := e.dequantizedBy(i, i+6, i+11)
		if err != nil {
			return err
		}
		in[i] = x
	}
	norm := *e
	norm.In = in
	return norm.embedLayerNorm(tensor.Float32)
}

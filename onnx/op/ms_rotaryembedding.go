package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opMsRotaryEmbedding = &Def{
	Name:   "RotaryEmbedding",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `input:T position_ids:M cos_cache:T sin_cache:T -> output:T | interleaved:int is_packed_batching:int num_heads:int rotary_embedding_dim:int scale:float | T: float float16 bfloat16; M: int64`},
	},
	Infer: sameShape,
	Eval:  evalMsRotaryEmbedding,
}

// evalMsRotaryEmbedding is RotaryEmbedding with the positions as input 1: one
// for each token, or that of the first.
func evalMsRotaryEmbedding(e *Eval) error {
	x, ids, cos := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if x.Rank() != 3 && x.Rank() != 4 || cos.Rank() != 2 || cos.Shape[1] < 1 {
		return fmt.Errorf("input %v and cache %v", x, cos)
	}
	seq, n := x.Shape[1], e.Int("num_heads")
	if x.Rank() == 4 {
		seq = x.Shape[2]
	} else if n == 0 {
		n = x.Shape[2] / (2 * cos.Shape[1])
	}
	if ids.Len() == 1 {
		all := make([]int64, x.Shape[0]*seq)
		for i := range all {
			all[i] = ids.Ints()[0] + int64(i%seq)
		}
		ids = tensor.Of([]int{x.Shape[0], seq}, all)
	}
	return e.rotate(x, cos, e.Tensor(3), ids, n)
}

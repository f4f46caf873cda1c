package op

import (
	"errors"
	"fmt"

	"onnxopt/onnx/tensor"
)

var opMsMatMulBnb4 = &Def{
	Name:   "MatMulBnb4",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T1 B:T2 absmax:T1 -> Y:T1 | K:int! N:int! block_size:int! quant_type:int! training_mode:int=0 transB:int=1 | T1: float float16 bfloat16; T2: uint8`},
	},
	Infer: inferMatMulNBits,
	Eval:  evalMatMulBnb4,
}

// The values of 4-bit codes by quant_type: float of 2 exponent bits and 1 of
// mantissa, scaled to 1; and 4-bit NormalFloat (QLoRA, arXiv 2305.14314,
// appendix E).
var bnb4Values = [][]float64{
	{0, 1. / 192, 2. / 3, 1, 1. / 3, 1. / 2, 1. / 6, 1. / 4, 0, -1. / 192, -2. / 3, -1, -1. / 3, -1. / 2, -1. / 6, -1. / 4},
	{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
		0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
		0.7229568362236023, 1},
}

// evalMatMulBnb4 is A times the transpose of B [N, K], stored as one row of
// codes, the high bits of a byte first; each block has its largest magnitude.
func evalMatMulBnb4(e *Eval) error {
	a, b, absmax := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	k, n, block, kind := e.Int("K"), e.Int("N"), e.Int("block_size"), e.Int("quant_type")
	if e.Int("transB") == 0 {
		return errors.New("transB = 0 is not supported")
	}
	if a.Rank() < 1 || a.Shape[a.Rank()-1] != k || k < 1 || n < 1 || block < 1 || kind < 0 || kind >= len(bnb4Values) {
		return fmt.Errorf("input %v with K %d, N %d, block_size %d, quant_type %d", a, k, n, block, kind)
	}
	if err := e.Fits(tensor.Float64, []int{n, k}); err != nil {
		return err
	}
	if b.Len() != (n*k+1)/2 || absmax.Len() != (n*k+block-1)/block {
		return fmt.Errorf("weight %v and absmax %v of %d values in blocks of %d", b, absmax, n*k, block)
	}
	w, scale, codes := make([]float64, n*k), absmax.Floats(), b.Bytes()
	for i := range w {
		w[i] = bnb4Values[kind][codes[i/2]>>(4*(1-i%2))&15] * scale[i/block]
	}
	return e.timesTransposed(a, w, k, n, nil)
}

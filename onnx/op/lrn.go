package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opLRN = &Def{
	Name: "LRN",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | alpha:float=9.99999975e-05 beta:float=0.75 bias:float=1 size:int! | T: fp`},
		{Since: 13, Schema: `X:T -> Y:T | alpha:float=9.99999975e-05 beta:float=0.75 bias:float=1 size:int! | T: fp bfloat16`},
	},
	Infer: sameShape,
	Eval:  evalLRN,
}

func evalLRN(e *Eval) error {
	x, size := e.Tensor(0), e.Int("size")
	if x.Rank() < 2 || size < 1 {
		return fmt.Errorf("input %v, size %d", x, size)
	}
	v, c, plane := x.Floats(), x.Shape[1], volume(x.Shape[2:])
	out := make([]float64, len(v))
	for i := range v {
		k, base := i/plane%c, i-i/plane%c*plane
		sum := 0.0
		for j := max(0, k-(size-1)/2); j <= min(c-1, k+size/2); j++ {
			sum += v[base+j*plane] * v[base+j*plane]
		}
		out[i] = v[i] / math.Pow(e.Float("bias")+e.Float("alpha")/float64(size)*sum, e.Float("beta"))
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, out))
	return nil
}

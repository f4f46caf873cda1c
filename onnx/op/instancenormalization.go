package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opInstanceNormalization = &Def{
	Name: "InstanceNormalization",
	Versions: []Version{
		{Since: 1, Schema: `input:T scale:T B:T -> output:T | consumed_inputs:ints epsilon:float=9.99999975e-06 | T: fp`},
		{Since: 6, Schema: `input:T scale:T B:T -> output:T | epsilon:float=9.99999975e-06 | T: fp`},
		{Since: 22, Schema: `input:T scale:T B:T -> output:T | epsilon:float=9.99999975e-06 | T: fp bfloat16`},
	},
	Infer: sameShape,
	Eval:  evalInstanceNorm,
}

func evalInstanceNorm(e *Eval) error {
	x, scale, bias := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if x.Rank() < 2 || scale.Len() != x.Shape[1] || bias.Len() != x.Shape[1] {
		return fmt.Errorf("input %v, scale %v, bias %v", x, scale, bias)
	}
	v, s, b := x.Floats(), scale.Floats(), bias.Floats()
	plane := volume(x.Shape[2:])
	for i := range x.Shape[0] * x.Shape[1] {
		c := i % x.Shape[1]
		normalize(v[i*plane:(i+1)*plane], e.Float("epsilon"))
		for k := i * plane; k < (i+1)*plane; k++ {
			v[k] = v[k]*s[c] + b[c]
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

// normalize maps v to zero mean and unit variance; it returns the mean and
// 1/sqrt(var+eps).
func normalize(v []float64, eps float64) (mean, inv float64) {
	mean = sumFloats(v) / float64(len(v))
	variance := 0.0
	for _, x := range v {
		variance += (x - mean) * (x - mean)
	}
	inv = 1 / math.Sqrt(variance/float64(len(v))+eps)
	for i := range v {
		v[i] = (v[i] - mean) * inv
	}
	return mean, inv
}

package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opGroupNormalization = &Def{
	Name: "GroupNormalization",
	Versions: []Version{
		{Since: 18, Schema: `X:T scale:T bias:T -> Y:T | epsilon:float=9.99999975e-06 num_groups:int! | T: fp bfloat16`, Deprecated: true},
		{Since: 21, Schema: `X:T scale:T bias:T -> Y:T | epsilon:float=9.99999975e-06 num_groups:int! stash_type:int=1 | T: fp bfloat16`},
	},
	Infer: sameShape,
	Eval:  evalGroupNorm,
}

func evalGroupNorm(e *Eval) error {
	x, scale, bias := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	groups := e.Int("num_groups")
	if x.Rank() < 2 || groups < 1 || x.Shape[1]%groups != 0 || scale.Len() != bias.Len() {
		return fmt.Errorf("input %v, %d groups, scale %v, bias %v", x, groups, scale, bias)
	}
	v, s, b := x.Floats(), scale.Floats(), bias.Floats()
	c, plane := x.Shape[1], volume(x.Shape[2:])
	per := c / groups
	for i := range x.Shape[0] * groups {
		normalize(v[i*per*plane:(i+1)*per*plane], e.Float("epsilon"))
	}
	if scale.Len() != c && scale.Len() != groups {
		return fmt.Errorf("scale %v for %d channels in %d groups", scale, c, groups)
	}
	div := c / scale.Len() // version 18 has one scale for each group
	for i := range v {
		k := i / plane % c / div
		v[i] = v[i]*s[k] + b[k]
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

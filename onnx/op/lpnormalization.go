package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opLpNormalization = &Def{
	Name: "LpNormalization",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | axis:int=-1 p:int=2 | T: fp`},
		{Since: 22, Schema: `input:T -> output:T | axis:int=-1 p:int=2 | T: fp bfloat16`},
	},
	Infer: sameShape,
	Eval:  evalLpNorm,
}

func evalLpNorm(e *Eval) error {
	x := e.Tensor(0)
	axis, ok := Axis(e.Int("axis"), x.Rank())
	p := e.Int("p")
	if !ok || p != 1 && p != 2 {
		return fmt.Errorf("axis %d, p %d of %v", e.Int("axis"), p, x)
	}
	reduce := make([]bool, x.Rank())
	reduce[axis] = true
	_, groups := reduceGroups(x.Shape, reduce)
	v := x.Floats()
	for _, members := range groups {
		norm := 0.0
		for _, i := range members {
			norm += math.Pow(math.Abs(v[i]), float64(p))
		}
		if norm = math.Pow(norm, 1/float64(p)); norm == 0 {
			continue
		}
		for _, i := range members {
			v[i] /= norm
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

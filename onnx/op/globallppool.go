package op

import (
	"math"

	"onnxopt/onnx/graph"
)

var opGlobalLpPool = globalPool(&Def{
	Name: "GlobalLpPool",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | p:float=2 | T: fp`},
		{Since: 2, Schema: `X:T -> Y:T | p:int=2 | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T | p:int=2 | T: fp bfloat16`},
	},
}, lpNorm)

func lpNorm(a *Attrs) func([]float64) float64 {
	p := a.Float("p")
	if x := a.Attr("p"); x != nil && x.Kind == graph.AttrInt {
		p = float64(x.I)
	}
	return func(v []float64) float64 {
		s := 0.0
		for _, x := range v {
			s += math.Pow(math.Abs(x), p)
		}
		return math.Pow(s, 1/p)
	}
}

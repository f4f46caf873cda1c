package op

import (
	"math"

	"onnxopt/onnx/tensor"
)

var opClip = &Def{
	Name: "Clip",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | consumed_inputs:ints max:float min:float | T: fp`},
		{Since: 6, Schema: `input:T -> output:T | max:float=3.40282347e+38 min:float=-3.40282347e+38 | T: fp`},
		{Since: 11, Schema: `input:T min?:T max?:T -> output:T |  | T: fp`},
		{Since: 12, Schema: `input:T min?:T max?:T -> output:T |  | T: num`},
		{Since: 13, Schema: `input:T min?:T max?:T -> output:T |  | T: num bfloat16`},
	},
	Flags: Elementwise,
	Quant: Quant{Kind: QuantSame},
	Infer: sameShape,
	Eval:  evalClip,
}

func evalClip(e *Eval) error {
	x := e.Tensor(0)
	if !x.Type.IsFloat() {
		lo, hi := x.Type.IntRange()
		if t := e.Tensor(1); t != nil {
			lo = t.Ints()[0]
		}
		if t := e.Tensor(2); t != nil {
			hi = t.Ints()[0]
		}
		v := x.Ints()
		for i := range v {
			v[i] = min(max(v[i], lo), hi)
		}
		e.Set(0, tensor.FromInts(x.Type, x.Shape, v))
		return nil
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	if e.Since < 11 {
		if e.Has("min") {
			lo = e.Float("min")
		}
		if e.Has("max") {
			hi = e.Float("max")
		}
	}
	if t := e.Tensor(1); t != nil && t.Len() == 1 {
		lo = t.Floats()[0]
	}
	if t := e.Tensor(2); t != nil && t.Len() == 1 {
		hi = t.Floats()[0]
	}
	v := x.Floats()
	for i := range v {
		v[i] = min(max(v[i], lo), hi)
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

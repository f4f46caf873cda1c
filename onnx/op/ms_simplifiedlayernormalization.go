package op

import (
	"math"
	"slices"

	"onnxopt/onnx/tensor"
)

// onnxruntime has this operator in the domain of ai.onnx.
var opMsSimplifiedLayerNormalization = &Def{
	Name: "SimplifiedLayerNormalization",
	Versions: []Version{
		{Since: 1, Schema: `X:T scale:V -> Y:V inv_std_var?:U | axis:int=-1 epsilon:float=9.9999997e-06 stash_type:int=1 | T: fp bfloat16; U: float double; V: fp bfloat16`},
	},
	Infer: inferSimplifiedNorm,
	Eval:  evalSimplifiedNorm,
}

// inferSimplifiedNorm: the result has the type of the scale.
func inferSimplifiedNorm(f *Infer) error {
	f.SetElem(0, f.Type(1).Elem)
	return inferLayerNorm(f)
}

// evalSimplifiedNorm is RMSNormalization with the inverse root as output 1.
func evalSimplifiedNorm(e *Eval) error {
	if err := evalRMSNorm(e); err != nil || !e.Wants(1) {
		return err
	}
	x := e.Tensor(0)
	axis, _ := Axis(e.Int("axis"), x.Rank())
	size, v := volume(x.Shape[axis:]), x.Floats()
	stats := slices.Clone(x.Shape)
	for i := axis; i < len(stats); i++ {
		stats[i] = 1
	}
	inv := make([]float64, volume(stats))
	for i := range inv {
		inv[i] = 1 / math.Sqrt(sumSquares(v[i*size:(i+1)*size])/float64(size)+e.Float("epsilon"))
	}
	stash, err := e.elemType("stash_type")
	if err != nil {
		return err
	}
	e.Set(1, tensor.FromFloats(stash, stats, inv))
	return nil
}

package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
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

func inferSimplifiedNorm(f *Infer) error {
	s, ok := f.Shape(0)
	f.SetElem(0, f.Type(1).Elem)
	if !ok {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s))
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
	}
	stats := slices.Clone(s)
	for i := axis; i < len(s); i++ {
		stats[i] = dim.Of(1)
	}
	f.Set(0, s...)
	f.SetElem(1, tensor.DType(f.Int("stash_type")))
	f.Set(1, stats...)
	return nil
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

package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opRMSNormalization = &Def{
	Name: "RMSNormalization",
	Versions: []Version{
		{Since: 23, Schema: `X:T scale:V -> Y:V | axis:int=-1 epsilon:float=9.99999975e-06 stash_type:int=1 | T: fp bfloat16; V: fp bfloat16`},
	},
	Infer: sameShape,
	Eval:  evalRMSNorm,
}

func evalRMSNorm(e *Eval) error {
	x := e.Tensor(0)
	axis, ok := Axis(e.Int("axis"), x.Rank())
	if !ok {
		return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
	}
	size, v := volume(x.Shape[axis:]), x.Floats()
	for i := range volume(x.Shape[:axis]) {
		row := v[i*size : (i+1)*size]
		inv := 1 / math.Sqrt(sumSquares(row)/float64(size)+e.Float("epsilon"))
		for k := range row {
			row[k] *= inv
		}
	}
	tensor.RoundFloats(e.Tensor(1).Type, v) // the body casts to V before it scales
	if err := scaleShift(x.Shape, v, e.Tensor(1), nil); err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(e.Tensor(1).Type, x.Shape, v))
	return nil
}

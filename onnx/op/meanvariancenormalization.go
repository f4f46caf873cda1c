package op

import "onnxopt/onnx/tensor"

var opMeanVarianceNormalization = &Def{
	Name: "MeanVarianceNormalization",
	Versions: []Version{
		{Since: 9, Schema: `X:T -> Y:T | axes:ints=[0,2,3] | T: fp`},
		{Since: 13, Schema: `X:T -> Y:T | axes:ints=[0,2,3] | T: fp bfloat16`},
	},
	Infer: sameShape,
	Eval:  evalMVN,
}

func evalMVN(e *Eval) error {
	x := e.Tensor(0)
	axes := e.Attrs.Ints("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	reduce, err := axisSet(axes, x.Rank())
	if err != nil {
		return err
	}
	_, groups := reduceGroups(x.Shape, reduce)
	v := x.Floats()
	for _, members := range groups {
		buf := make([]float64, len(members))
		for k, i := range members {
			buf[k] = v[i]
		}
		normalize(buf, 1e-9)
		for k, i := range members {
			v[i] = buf[k]
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opBatchNormalization = &Def{
	Name: "BatchNormalization",
	Versions: []Version{
		{Since: 1, Schema: `X:T scale:T B:T mean:T var:T -> Y:T mean?:T var?:T saved_mean?:T saved_var?:T | consumed_inputs:ints! epsilon:float=9.99999975e-06 is_test:int=0 momentum:float=0.899999976 spatial:int=1 | T: fp`},
		{Since: 6, Schema: `X:T scale:T B:T mean:T var:T -> Y:T mean?:T var?:T saved_mean?:T saved_var?:T | epsilon:float=9.99999975e-06 is_test:int=0 momentum:float=0.899999976 spatial:int=1 | T: fp`},
		{Since: 7, Schema: `X:T scale:T B:T mean:T var:T -> Y:T mean?:T var?:T saved_mean?:T saved_var?:T | epsilon:float=9.99999975e-06 momentum:float=0.899999976 spatial:int=1 | T: fp`},
		{Since: 9, Schema: `X:T scale:T B:T mean:T var:T -> Y:T mean?:T var?:T saved_mean?:T saved_var?:T | epsilon:float=9.99999975e-06 momentum:float=0.899999976 | T: fp`},
		{Since: 14, Schema: `X:T scale:T B:T input_mean:U input_var:U -> Y:T running_mean?:U running_var?:U | epsilon:float=9.99999975e-06 momentum:float=0.899999976 training_mode:int=0 | T: fp bfloat16; U: fp bfloat16`},
		{Since: 15, Schema: `X:T scale:T1 B:T1 input_mean:T2 input_var:T2 -> Y:T running_mean?:T2 running_var?:T2 | epsilon:float=9.99999975e-06 momentum:float=0.899999976 training_mode:int=0 | T: fp bfloat16; T1: fp bfloat16; T2: fp bfloat16`},
	},
	Infer: inferBatchNorm,
	Eval:  evalBatchNorm,
}

func inferBatchNorm(f *Infer) error {
	if f.Since >= 9 { // before, parameters could have all axes but the first
		if err := f.match("[N,C,*] [C] [C] [C] [C]"); err != nil {
			return err
		}
	}
	if f.Since >= 14 && f.Int("training_mode") == 0 && len(f.Out) > 1 {
		return fmt.Errorf("%d outputs without training_mode", len(f.Out))
	}
	for i := 1; i < len(f.Out); i++ {
		if s, ok := f.Shape(3); ok {
			f.Set(i, s...)
		}
	}
	return sameShape(f)
}

// evalBatchNorm is Y = (X-mean)/sqrt(var+eps)*scale + B per channel; in
// training mode with the statistics of the batch.
func evalBatchNorm(e *Eval) error {
	x := e.Tensor(0)
	if x.Rank() < 2 {
		return fmt.Errorf("input %v", x)
	}
	c, plane := x.Shape[1], volume(x.Shape[2:])
	params := make([][]float64, 4)
	for i := range params {
		t := e.Tensor(i + 1)
		if t.Rank() != 1 || t.Len() != c {
			return fmt.Errorf("parameter %v for %d channels", t, c)
		}
		params[i] = t.Floats()
	}
	v := x.Floats()
	scale, bias, mean, variance := params[0], params[1], params[2], params[3]
	training := e.Int("training_mode") != 0 || e.Since < 7 && e.Has("is_test") && e.Int("is_test") == 0 && len(e.Out) > 1
	if training {
		m := e.Float("momentum")
		n := float64(x.Shape[0] * plane)
		batchMean, batchVar := make([]float64, c), make([]float64, c)
		for i, a := range v {
			batchMean[i/plane%c] += a / n
		}
		for i, a := range v {
			d := a - batchMean[i/plane%c]
			batchVar[i/plane%c] += d * d / n
		}
		running := func(i int, old, now []float64) {
			r := make([]float64, c)
			for k := range r {
				r[k] = old[k]*m + now[k]*(1-m)
			}
			e.Set(i, tensor.FromFloats(e.Tensor(3).Type, []int{c}, r))
		}
		running(1, mean, batchMean)
		running(2, variance, batchVar)
		mean, variance = batchMean, batchVar
	}
	eps := e.Float("epsilon")
	for i := range v {
		k := i / plane % c
		v[i] = (v[i]-mean[k])/math.Sqrt(variance[k]+eps)*scale[k] + bias[k]
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

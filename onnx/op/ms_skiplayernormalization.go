package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMsSkipLayerNormalization = &Def{
	Name:   "SkipLayerNormalization",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `input:T skip:T gamma:T beta?:T bias?:T -> output:T mean?:U inv_std_var?:U input_skip_bias_sum?:T | epsilon:float=1e-12 | T: float float16 bfloat16; U: float`},
	},
	Infer: inferSkipNorm,
	Eval:  func(e *Eval) error { return e.skipNorm(e.Tensor(4), e.Tensor(3), true) },
}

func inferSkipNorm(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok || len(s) == 0 {
		return nil
	}
	stats := slices.Clone(s)
	stats[len(s)-1] = dim.Of(1)
	f.Set(0, s...)
	f.Set(1, stats...)
	f.Set(2, stats...)
	f.Set(3, s...)
	return nil
}

// skipNorm normalizes the sum of input, skip and bias over the last axis: to
// mean 0 and variance 1 or, without centre, to mean square 1; then it is scaled
// by gamma and shifted by beta. Output 3 is the sum.
func (e *Eval) skipNorm(bias, beta *tensor.Tensor, centre bool) error {
	x, skip := e.Tensor(0), e.Tensor(1)
	if x.Rank() < 1 {
		return fmt.Errorf("input %v", x)
	}
	v := x.Floats()
	for _, t := range []*tensor.Tensor{skip, bias} {
		if err := scaleShift(x.Shape, v, nil, t); err != nil {
			return err
		}
	}
	e.Set(3, tensor.FromFloats(x.Type, x.Shape, slices.Clone(v)))
	size := x.Shape[x.Rank()-1]
	rows := volume(x.Shape[:x.Rank()-1])
	mean, inv := make([]float64, rows), make([]float64, rows)
	for i := range rows {
		row := v[i*size : (i+1)*size]
		if centre {
			mean[i], inv[i] = normalize(row, e.Float("epsilon"))
			continue
		}
		inv[i] = 1 / math.Sqrt(sumSquares(row)/float64(size)+e.Float("epsilon"))
		for k := range row {
			row[k] *= inv[i]
		}
	}
	if err := scaleShift(x.Shape, v, e.Tensor(2), beta); err != nil {
		return err
	}
	stats := slices.Clone(x.Shape)
	stats[len(stats)-1] = 1
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	e.Set(1, tensor.FromFloats(tensor.Float32, stats, mean))
	e.Set(2, tensor.FromFloats(tensor.Float32, stats, inv))
	return nil
}

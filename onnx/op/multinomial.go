package op

import (
	"fmt"
	"math"
	"math/rand/v2"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMultinomial = &Def{
	Name: "Multinomial",
	Versions: []Version{
		{Since: 7, Schema: `input:T1 -> output:T2 | dtype:int=6 sample_size:int=1 seed:float | T1: fp; T2: int32 int64`},
		{Since: 22, Schema: `input:T1 -> output:T2 | dtype:int=6 sample_size:int=1 seed:float | T1: fp bfloat16; T2: int32 int64`},
	},
	Flags: Random,
	Infer: inferMultinomial,
	Eval:  evalMultinomial,
}

func inferMultinomial(f *Infer) error {
	if err := f.setElemAttr("dtype"); err != nil {
		return err
	}
	batch := dim.Unknown
	if s, ok := f.Shape(0); ok {
		if len(s) != 2 {
			return fmt.Errorf("input %v, want [batch, classes]", f.Type(0))
		}
		batch = s[0]
	}
	f.Set(0, batch, dim.Of(int64(f.Int("sample_size"))))
	return nil
}

// evalMultinomial draws class indices with replacement; class c of a row x has
// probability exp(x[c]) / sum exp(x).
func evalMultinomial(e *Eval) error {
	x, samples := e.Tensor(0), e.Int("sample_size")
	if x.Rank() != 2 || x.Shape[1] == 0 {
		return fmt.Errorf("input %v, want [batch, classes]", x)
	}
	if samples < 1 {
		return fmt.Errorf("sample_size %d", samples)
	}
	shape := []int{x.Shape[0], samples}
	t, err := e.elemType("dtype")
	if err != nil {
		return err
	}
	if t != tensor.Int32 && t != tensor.Int64 {
		return fmt.Errorf("dtype %v", t)
	}
	if err := e.Fits(tensor.Int64, shape); err != nil {
		return err
	}
	r, v, classes := e.random(), x.Floats(), x.Shape[1]
	out := make([]int64, 0, volume(shape))
	for b := range x.Shape[0] {
		p := v[b*classes : (b+1)*classes]
		softmax(p)
		for range samples {
			out = append(out, drawClass(p, r))
		}
	}
	e.Set(0, tensor.FromInts(t, shape, out))
	return nil
}

// drawClass is c with probability p[c]: the first whose cumulative sum exceeds
// a uniform number. What rounding leaves over falls to the last class of
// positive probability.
func drawClass(p []float64, r *rand.Rand) int64 {
	u, sum, last := r.Float64(), 0.0, 0
	for c, q := range p {
		if q > 0 && !math.IsNaN(q) {
			last = c
		}
		if sum += q; u < sum {
			return int64(c)
		}
	}
	return int64(last)
}

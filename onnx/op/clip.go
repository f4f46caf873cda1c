package op

import (
	"cmp"
	"fmt"
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

// evalClip is min(max(x, lo), hi): hi wins where lo exceeds it.
func evalClip(e *Eval) error {
	x := e.Tensor(0)
	for i := 1; i <= 2; i++ {
		if t := e.Tensor(i); t != nil && (t.Len() != 1 || t.Type != x.Type) {
			return fmt.Errorf("bound %v of %v", t, x)
		}
	}
	lo, hi := e.Tensor(1), e.Tensor(2)
	switch {
	case x.Type.IsFloat():
		least, most := math.Inf(-1), math.Inf(1)
		if e.Has("min") {
			least = e.Float("min")
		}
		if e.Has("max") {
			most = e.Float("max")
		}
		e.Set(0, tensor.FromFloats(x.Type, x.Shape, clipped(x.Floats(), bound(lo, (*tensor.Tensor).Floats, least), bound(hi, (*tensor.Tensor).Floats, most))))
	case x.Type == tensor.Uint64:
		v := clipped(tensor.View[uint64](x), bound(lo, tensor.View[uint64], 0), bound(hi, tensor.View[uint64], math.MaxUint64))
		e.Set(0, tensor.Of(x.Shape, v))
	default:
		least, most := x.Type.IntRange()
		e.Set(0, tensor.FromInts(x.Type, x.Shape, clipped(x.Ints(), bound(lo, (*tensor.Tensor).Ints, least), bound(hi, (*tensor.Tensor).Ints, most))))
	}
	return nil
}

// bound is the element of t, or def if t is absent.
func bound[T any](t *tensor.Tensor, elems func(*tensor.Tensor) []T, def T) T {
	if t == nil {
		return def
	}
	return elems(t)[0]
}

func clipped[T cmp.Ordered](v []T, lo, hi T) []T {
	out := make([]T, len(v))
	for i, x := range v {
		out[i] = min(max(x, lo), hi)
	}
	return out
}

package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opRange = &Def{
	Name: "Range",
	Versions: []Version{
		{Since: 11, Schema: `start:T limit:T delta:T -> output:T |  | T: float double int16 int32 int64`},
		{Since: 27, Schema: `start:T limit:T delta:T -> output:T | stash_type:int=1 | T: fp int16 int32 int64 bfloat16`},
	},
	Infer: inferRange,
	Eval:  evalRange,
}

func inferRange(f *Infer) error {
	start, ok := f.InData(0)
	limit, ok2 := f.InData(1)
	delta, ok3 := f.InData(2)
	if !ok || !ok2 || !ok3 || len(start) != 1 || len(limit) != 1 || len(delta) != 1 {
		f.Set(0, f.Symbol())
		return nil
	}
	n := dim.Unknown
	if step, ok := delta[0].Const(); ok && step > 0 {
		n = limit[0].Sub(start[0]).CeilDiv(delta[0])
		if c, ok := n.Const(); ok && c < 0 {
			n = dim.Of(0)
		} else if !ok && !(start[0].Is(0) && n.Positive()) {
			n = dim.Unknown
		}
	} else if ok && step < 0 {
		n = start[0].Sub(limit[0]).CeilDiv(dim.Of(-step))
		if c, ok := n.Const(); ok && c < 0 {
			n = dim.Of(0)
		} else if !ok {
			n = dim.Unknown
		}
	}
	if !n.Known() {
		n = f.Symbol()
	}
	f.Set(0, n)
	return nil
}

func evalRange(e *Eval) error {
	start, limit, delta := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if start.Type.IsInt() {
		a, b, d := start.Ints()[0], limit.Ints()[0], delta.Ints()[0]
		if d == 0 {
			return fmt.Errorf("delta is zero")
		}
		n := max(0, int(math.Ceil(float64(b-a)/float64(d))))
		if err := e.Fits(start.Type, []int{n}); err != nil {
			return err
		}
		v := make([]int64, n)
		for i := range v {
			v[i] = a + int64(i)*d
		}
		e.Set(0, tensor.FromInts(start.Type, []int{n}, v))
		return nil
	}
	a, b, d := start.Floats()[0], limit.Floats()[0], delta.Floats()[0]
	count := math.Ceil((b - a) / d)
	if math.IsNaN(count) || math.IsInf(count, 0) {
		return fmt.Errorf("range from %v to %v by %v", a, b, d)
	}
	n := int(min(max(count, 0), 1<<60))
	if err := e.Fits(start.Type, []int{n}); err != nil {
		return err
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = a + float64(i)*d
	}
	e.Set(0, tensor.FromFloats(start.Type, []int{n}, v))
	return nil
}

package op

import (
	"errors"
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
		} else if !ok && !n.NonNegative() {
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
		n, err := rangeLen(a, b, d)
		if err != nil {
			return err
		}
		if err := e.Fits(tensor.Int64, []int{n}); err != nil {
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
	if err := e.Fits(tensor.Float64, []int{n}); err != nil {
		return err
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = a + float64(i)*d
	}
	e.Set(0, tensor.FromFloats(start.Type, []int{n}, v))
	return nil
}

// rangeLen is the number of integers a, a+d, a+2*d, ... before b.
func rangeLen(a, b, d int64) (int, error) {
	var n uint64
	switch {
	case d == 0:
		return 0, errors.New("delta is zero")
	case d > 0 && a < b:
		n = (uint64(b)-uint64(a)-1)/uint64(d) + 1
	case d < 0 && a > b:
		n = (uint64(a)-uint64(b)-1)/-uint64(d) + 1
	}
	if n > math.MaxInt {
		return 0, fmt.Errorf("range from %d to %d by %d", a, b, d)
	}
	return int(n), nil
}

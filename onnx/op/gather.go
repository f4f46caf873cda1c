package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opGather = &Def{
	Name: "Gather",
	Versions: []Version{
		{Since: 1, Schema: `data:T indices:Tind -> output:T | axis:int=0 | T: all; Tind: int32 int64`},
		{Since: 11, Schema: `data:T indices:Tind -> output:T | axis:int=0 | T: all; Tind: int32 int64`},
		{Since: 13, Schema: `data:T indices:Tind -> output:T | axis:int=0 | T: all bfloat16; Tind: int32 int64`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferGather,
	Eval:  evalGather,
}

func inferGather(f *Infer) error {
	s, ok := f.Shape(0)
	idx, ok2 := f.Shape(1)
	if !ok || !ok2 {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s))
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
	}
	f.Set(0, slices.Concat(s[:axis], idx, s[axis+1:])...)
	d, ok := f.InData(0)
	at, ok2 := f.Ints(1)
	if !ok || !ok2 || len(s) != 1 || len(idx) > 1 {
		return nil
	}
	out := make([]dim.Dim, len(at))
	for i, k := range at {
		k, ok := Axis(k, len(d))
		if !ok {
			return fmt.Errorf("index %d of %d elements", at[i], len(d))
		}
		out[i] = d[k]
	}
	f.SetData(0, out)
	return nil
}

func evalGather(e *Eval) error {
	x, idx := e.Tensor(0), e.Tensor(1)
	axis, ok := Axis(e.Int("axis"), x.Rank())
	if !ok {
		return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
	}
	out, err := e.gather(x, idx, axis)
	if err != nil {
		return err
	}
	e.Set(0, out)
	return nil
}

// gather is the slices of x along an axis that idx names.
func (e *Eval) gather(x, idx *tensor.Tensor, axis int) (*tensor.Tensor, error) {
	at := idx.Ints()
	if err := wrapIndices(at, x.Shape[axis]); err != nil {
		return nil, err
	}
	shape := slices.Concat(x.Shape[:axis], idx.Shape, x.Shape[axis+1:])
	inner, row := volume(x.Shape[axis+1:]), volume(x.Shape[axis:])
	return tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int {
		k := i / inner
		return k/len(at)*row + int(at[k%len(at)])*inner + i%inner
	})
}

// wrapIndices maps negative indices into [0, n) and rejects those outside.
func wrapIndices(at []int64, n int) error {
	for i, k := range at {
		if k < 0 {
			k += int64(n)
		}
		if k < 0 || k >= int64(n) {
			return fmt.Errorf("index %d outside an axis of %d", at[i], n)
		}
		at[i] = k
	}
	return nil
}

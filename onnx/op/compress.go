package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opCompress = &Def{
	Name: "Compress",
	Versions: []Version{
		{Since: 9, Schema: `input:T condition:T1 -> output:T | axis:int | T: all; T1: bool`},
		{Since: 11, Schema: `input:T condition:T1 -> output:T | axis:int | T: all; T1: bool`},
		{Since: 28, Schema: `input:T condition:T1 -> output:T | axis:int | T: all bfloat16; T1: bool`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: inferCompress,
	Eval:  evalCompress,
}

func inferCompress(f *Infer) error {
	if !f.Has("axis") {
		f.Set(0, f.Symbol())
		return nil
	}
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s))
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
	}
	out := slices.Clone(s)
	out[axis] = f.Symbol()
	f.Set(0, out...)
	return nil
}

func evalCompress(e *Eval) error {
	x := e.Tensor(0)
	axis := 0
	if !e.Has("axis") {
		x = x.Reshaped(x.Len())
	} else {
		var ok bool
		if axis, ok = Axis(e.Int("axis"), x.Rank()); !ok {
			return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
		}
	}
	var keep []int
	for i, c := range e.Tensor(1).Bools() {
		if c && i < x.Shape[axis] {
			keep = append(keep, i)
		}
	}
	shape := slices.Clone(x.Shape)
	shape[axis] = len(keep)
	inner, row := volume(x.Shape[axis+1:]), volume(x.Shape[axis:])
	out, err := tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int {
		k := i / inner
		return k/len(keep)*row + keep[k%len(keep)]*inner + i%inner
	})
	e.Set(0, out)
	return err
}

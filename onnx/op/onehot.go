package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opOneHot = &Def{
	Name: "OneHot",
	Versions: []Version{
		{Since: 9, Schema: `indices:T1 depth:T2 values:T3 -> output:T3 | axis:int=-1 | T1: num; T2: num; T3: all`},
		{Since: 11, Schema: `indices:T1 depth:T2 values:T3 -> output:T3 | axis:int=-1 | T1: num; T2: num; T3: all`},
		{Since: 28, Schema: `indices:T1 depth:T2 values:T3 -> output:T3 | axis:int=-1 | T1: num; T2: num; T3: all bfloat16`},
	},
	Infer: inferOneHot,
	Eval:  evalOneHot,
}

func inferOneHot(f *Infer) error {
	if err := f.match("- - [2]"); err != nil {
		return err
	}
	f.SetElem(0, f.Type(2).Elem)
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s)+1)
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s)+1)
	}
	depth := dim.Unknown
	if c := f.Const(1); c != nil && c.Len() == 1 && c.Type != tensor.String {
		depth = dim.Of(int64(c.Floats()[0]))
	} else if d, ok := f.InData(1); ok && len(d) == 1 {
		depth = d[0]
	}
	f.Set(0, slices.Concat(s[:axis], []dim.Dim{depth}, s[axis:])...)
	return nil
}

func evalOneHot(e *Eval) error {
	idx, values := e.Tensor(0), e.Tensor(2)
	depth := int(e.Tensor(1).Floats()[0])
	axis, ok := Axis(e.Int("axis"), idx.Rank()+1)
	if !ok || depth < 0 || values.Len() != 2 {
		return fmt.Errorf("axis %d, depth %d, values %v", e.Int("axis"), depth, values)
	}
	shape := slices.Concat(idx.Shape[:axis], []int{depth}, idx.Shape[axis:])
	at, inner := idx.Floats(), volume(idx.Shape[axis:])
	out, err := tensor.Gather(values, shape, e.Env.maxBytes(), func(i int) int {
		v := int(at[i/inner/depth*inner+i%inner])
		if v < 0 {
			v += depth
		}
		if v == i/inner%depth {
			return 1
		}
		return 0
	})
	e.Set(0, out)
	return err
}

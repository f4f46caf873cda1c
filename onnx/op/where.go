package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opWhere = &Def{
	Name: "Where",
	Versions: []Version{
		{Since: 9, Schema: `condition:B X:T Y:T -> output:T |  | B: bool; T: all`},
		{Since: 16, Schema: `condition:B X:T Y:T -> output:T |  | B: bool; T: all bfloat16`},
	},
	Flags: Elementwise | DataMovement,
	Check: Exact,
	Infer: inferWhere,
	Eval:  evalWhere,
}

func inferWhere(f *Infer) error {
	if err := inferVariadic(f); err != nil {
		return err
	}
	cond, ok := f.InData(0)
	a, ok2 := f.InData(1)
	b, ok3 := f.InData(2)
	n := max(len(cond), len(a), len(b))
	for _, l := range []int{len(cond), len(a), len(b)} {
		if !ok || !ok2 || !ok3 || l != n && l != 1 {
			return nil
		}
	}
	out := make([]dim.Dim, n)
	for i := range out {
		x, y := a[min(i, len(a)-1)], b[min(i, len(b)-1)]
		switch c := cond[min(i, len(cond)-1)]; {
		case c.Is(1) || x.Equal(y):
			out[i] = x
		case c.Is(0):
			out[i] = y
		}
	}
	f.SetData(0, out)
	return nil
}

func evalWhere(e *Eval) error {
	c, x, y := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	shape, err := tensor.Broadcast(c.Shape, x.Shape, y.Shape)
	if err != nil {
		return err
	}
	if x.Type != y.Type {
		return fmt.Errorf("branches %v and %v", x, y)
	}
	out, err := e.New(x.Type, shape...)
	if err != nil {
		return err
	}
	cond, fromX, fromY := c.Bools(), tensor.Copier(out, x), tensor.Copier(out, y)
	EachBroadcast(shape, [][]int{c.Shape, x.Shape, y.Shape}, func(o int, at []int) {
		if cond[at[0]] {
			fromX(o, at[1])
		} else {
			fromY(o, at[2])
		}
	})
	e.Set(0, out)
	return nil
}

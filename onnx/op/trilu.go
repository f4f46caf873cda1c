package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opTrilu = &Def{
	Name: "Trilu",
	Versions: []Version{
		{Since: 14, Schema: `input:T k?:int64 -> output:T | upper:int=1 | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: sameShape,
	Eval:  evalTrilu,
}

func evalTrilu(e *Eval) error {
	x := e.Tensor(0)
	if x.Rank() < 2 {
		return fmt.Errorf("input %v", x)
	}
	k := int64(0)
	if t := e.Tensor(1); t != nil {
		k = t.Ints()[0]
	}
	out, err := e.New(x.Type, x.Shape...)
	if err != nil {
		return err
	}
	rows, cols := x.Shape[x.Rank()-2], x.Shape[x.Rank()-1]
	upper, put := e.Int("upper") != 0, tensor.Copier(out, x)
	for i := range x.Len() {
		r, c := int64(i/cols%rows), int64(i%cols)
		if upper && c-r >= k || !upper && c-r <= k {
			put(i, i)
		}
	}
	e.Set(0, out)
	return nil
}

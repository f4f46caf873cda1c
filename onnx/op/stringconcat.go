package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opStringConcat = &Def{
	Name: "StringConcat",
	Versions: []Version{
		{Since: 20, Schema: `X:T Y:T -> Z:T |  | T: string`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: inferBinary,
	Eval:  evalStringConcat,
}

func evalStringConcat(e *Eval) error {
	a, b, shape, err := e.operands()
	if err != nil {
		return err
	}
	out, err := e.New(tensor.String, shape...)
	if err != nil {
		return err
	}
	size := 0
	for _, n := range mapPairs(shape, a, b, a.Strings(), b.Strings(), func(x, y string) int { return len(x) + len(y) }) {
		if size += n; size > e.Env.maxBytes() {
			return fmt.Errorf("output exceeds the limit of %d bytes", e.Env.maxBytes())
		}
	}
	copy(out.Strings(), mapPairs(shape, a, b, a.Strings(), b.Strings(), func(x, y string) string { return x + y }))
	e.Set(0, out)
	return nil
}

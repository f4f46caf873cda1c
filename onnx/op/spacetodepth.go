package op

import (
	"fmt"

	"onnxopt/onnx/dim"
)

var opSpaceToDepth = &Def{
	Name: "SpaceToDepth",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | blocksize:int! | T: all`},
		{Since: 13, Schema: `input:T -> output:T | blocksize:int! | T: all bfloat16`},
		{Since: 28, Schema: `input:T -> output:T | blocksize:int! mode:string="DCR" | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferSpaceToDepth,
	Eval:  evalSpaceToDepth,
}

func inferSpaceToDepth(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	if len(s) != 4 || f.Int("blocksize") < 1 {
		return fmt.Errorf("input %v, blocksize %d", f.Type(0), f.Int("blocksize"))
	}
	b := dim.Of(int64(f.Int("blocksize")))
	f.Set(0, s[0], s[1].Mul(b).Mul(b), s[2].FloorDiv(b), s[3].FloorDiv(b))
	return nil
}

func evalSpaceToDepth(e *Eval) error {
	x, b := e.Tensor(0), e.Int("blocksize")
	if x.Rank() != 4 || b < 1 || x.Shape[2]%b != 0 || x.Shape[3]%b != 0 {
		return fmt.Errorf("input %v, blocksize %d", x, b)
	}
	n, c, h, w := x.Shape[0], x.Shape[1], x.Shape[2]/b, x.Shape[3]/b
	perm := []int{0, 3, 5, 1, 2, 4}
	if e.Str("mode") == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4}
	}
	out, err := Transpose(x.Reshaped(n, c, h, b, w, b), perm)
	if err != nil {
		return err
	}
	e.Set(0, out.Reshaped(n, c*b*b, h, w))
	return nil
}

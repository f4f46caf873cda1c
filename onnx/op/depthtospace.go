package op

import (
	"fmt"

	"onnxopt/onnx/dim"
)

var opDepthToSpace = &Def{
	Name: "DepthToSpace",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T | blocksize:int! | T: all`},
		{Since: 11, Schema: `input:T -> output:T | blocksize:int! mode:string="DCR" | T: all`},
		{Since: 13, Schema: `input:T -> output:T | blocksize:int! mode:string="DCR" | T: all bfloat16`},
		{Since: 28, Schema: `input:T -> output:T | blocksize:int! mode:string="DCR" | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferDepthToSpace,
	Eval:  evalDepthToSpace,
}

func inferDepthToSpace(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	if len(s) != 4 || f.Int("blocksize") < 1 {
		return fmt.Errorf("input %v, blocksize %d", f.Type(0), f.Int("blocksize"))
	}
	b := dim.Of(int64(f.Int("blocksize")))
	f.Set(0, s[0], s[1].FloorDiv(b.Mul(b)), s[2].Mul(b), s[3].Mul(b))
	return nil
}

func evalDepthToSpace(e *Eval) error {
	x, b := e.Tensor(0), e.Int("blocksize")
	if x.Rank() != 4 || b < 1 || x.Shape[1]%(b*b) != 0 {
		return fmt.Errorf("input %v, blocksize %d", x, b)
	}
	n, c, h, w := x.Shape[0], x.Shape[1]/(b*b), x.Shape[2], x.Shape[3]
	split, perm := []int{n, b, b, c, h, w}, []int{0, 3, 4, 1, 5, 2}
	if e.Str("mode") == "CRD" {
		split, perm = []int{n, c, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
	}
	out, err := Transpose(x.Reshaped(split...), perm)
	if err != nil {
		return err
	}
	e.Set(0, out.Reshaped(n, c, h*b, w*b))
	return nil
}

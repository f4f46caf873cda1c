package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opGemm = &Def{
	Name: "Gemm",
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T C:T -> Y:T | alpha:float=1 beta:float=1 broadcast:int=0 transA:int=0 transB:int=0 | T: fp`},
		{Since: 6, Schema: `A:T B:T C:T -> Y:T | alpha:float=1 beta:float=1 broadcast:int=0 transA:int=0 transB:int=0 | T: fp`},
		{Since: 7, Schema: `A:T B:T C:T -> Y:T | alpha:float=1 beta:float=1 transA:int=0 transB:int=0 | T: fp`},
		{Since: 9, Schema: `A:T B:T C:T -> Y:T | alpha:float=1 beta:float=1 transA:int=0 transB:int=0 | T: fp uint32 uint64 int32 int64`},
		{Since: 11, Schema: `A:T B:T C?:T -> Y:T | alpha:float=1 beta:float=1 transA:int=0 transB:int=0 | T: fp uint32 uint64 int32 int64`},
		{Since: 13, Schema: `A:T B:T C?:T -> Y:T | alpha:float=1 beta:float=1 transA:int=0 transB:int=0 | T: fp uint32 uint64 int32 int64 bfloat16`},
	},
	Quant: Quant{Kind: QuantInteger, Weight: 1, Bias: 2},
	Infer: inferGemm,
	Eval:  evalGemm,
}

func inferGemm(f *Infer) error {
	a, ok := f.Shape(0)
	b, ok2 := f.Shape(1)
	out := make([]dim.Dim, 2)
	if ok && len(a) == 2 {
		out[0] = a[f.Int("transA")&1]
	}
	if ok2 && len(b) == 2 {
		out[1] = b[1-f.Int("transB")&1]
	}
	if ok && ok2 && len(a) == 2 && len(b) == 2 && a[1-f.Int("transA")&1].Conflict(b[f.Int("transB")&1]) {
		return fmt.Errorf("operands %v and %v", f.Type(0), f.Type(1))
	}
	f.Set(0, out...)
	return nil
}

// evalGemm is Y = alpha*A'*B' + beta*C.
func evalGemm(e *Eval) error {
	a, b, c := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if a.Rank() != 2 || b.Rank() != 2 {
		return fmt.Errorf("operands %v and %v", a, b)
	}
	var err error
	for name, t := range map[string]**tensor.Tensor{"transA": &a, "transB": &b} {
		if e.Int(name) != 0 {
			if *t, err = Transpose(*t, []int{1, 0}); err != nil {
				return err
			}
		}
	}
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	y := matMul(a.Shape, b.Shape, a.Floats(), b.Floats())
	alpha, beta := e.Float("alpha"), e.Float("beta")
	for i := range y {
		y[i] *= alpha
	}
	if c != nil {
		if s, err := tensor.Broadcast(c.Shape, shape); err != nil || !slices.Equal(s, shape) {
			return fmt.Errorf("C %v does not broadcast to %v", c, shape)
		}
		v := c.Floats()
		EachBroadcast(shape, [][]int{c.Shape}, func(o int, at []int) { y[o] += beta * v[at[0]] })
	}
	e.Set(0, tensor.FromFloats(a.Type, shape, y))
	return nil
}

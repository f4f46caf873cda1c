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
	if ok && len(a) != 2 || ok2 && len(b) != 2 {
		return fmt.Errorf("operands %v and %v", f.Type(0), f.Type(1))
	}
	if !ok {
		a = Unknowns(2)
	}
	if !ok2 {
		b = Unknowns(2)
	}
	if f.Int("transA") != 0 {
		a = []dim.Dim{a[1], a[0]}
	}
	if f.Int("transB") != 0 {
		b = []dim.Dim{b[1], b[0]}
	}
	if a[1].Conflict(b[0]) {
		return fmt.Errorf("operands %v and %v", f.Type(0), f.Type(1))
	}
	f.Set(0, a[0], b[1])
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
	if c != nil {
		if s, err := tensor.Broadcast(c.Shape, shape); err != nil || !slices.Equal(s, shape) {
			return fmt.Errorf("addend %v does not broadcast to %v", c, shape)
		}
	}
	alpha, beta := e.Float("alpha"), e.Float("beta")
	if a.Type.IsInt() && alpha == 1 && beta == 1 { // exact and wrapping
		y := gemm(a, b, c, (*tensor.Tensor).Ints, 1, 1)
		e.Set(0, tensor.FromInts(a.Type, shape, y))
		return nil
	}
	e.Set(0, tensor.FromFloats(a.Type, shape, gemm(a, b, c, (*tensor.Tensor).Floats, alpha, beta)))
	return nil
}

func gemm[T number](a, b, c *tensor.Tensor, elems func(*tensor.Tensor) []T, alpha, beta T) []T {
	y := matMul(a.Shape, b.Shape, elems(a), elems(b))
	for i := range y {
		y[i] *= alpha
	}
	if c != nil {
		v := elems(c)
		EachBroadcast([]int{a.Shape[0], b.Shape[1]}, [][]int{c.Shape}, func(o int, at []int) { y[o] += beta * v[at[0]] })
	}
	return y
}

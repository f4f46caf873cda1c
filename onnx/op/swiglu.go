package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opSwiGLU = &Def{
	Name: "SwiGLU",
	Versions: []Version{
		{Since: 28, Schema: `A:T B:T -> Y:T | alpha:float=1 | T: fp bfloat16`},
	},
	Flags: Elementwise,
	Infer: sameShape,
	Eval:  evalSwiGLU,
}

// evalSwiGLU is a * sigmoid(alpha*a) * b.
func evalSwiGLU(e *Eval) error {
	a, b := e.Tensor(0), e.Tensor(1)
	if !slices.Equal(a.Shape, b.Shape) {
		return fmt.Errorf("inputs %v and %v", a, b)
	}
	gate, y, alpha := a.Floats(), b.Floats(), e.Float("alpha")
	for i, x := range gate {
		gate[i] = x * sigmoid(alpha*x)
	}
	tensor.RoundFloats(a.Type, gate)
	for i := range y {
		y[i] *= gate[i]
	}
	e.Set(0, tensor.FromFloats(a.Type, a.Shape, y))
	return nil
}

package op

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMsFusedMatMul = &Def{
	Name:   "FusedMatMul",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> Y:T | alpha:float=1 transA:int=0 transB:int=0 transBatchA:int=0 transBatchB:int=0 | T: fp bfloat16`},
	},
	Infer: inferFusedMatMul,
	Eval:  evalFusedMatMul,
}

// fusedPerm is the order in which operand A or B is read: transBatch moves the
// first axis before the last, trans then exchanges the last two. Vectors stay.
func fusedPerm(a *Attrs, operand string, rank int) []int {
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = i
	}
	if rank < 2 {
		return perm
	}
	if a.Int("transBatch"+operand) != 0 {
		for i := range rank - 2 {
			perm[i] = i + 1
		}
		perm[rank-2] = 0
	}
	if a.Int("trans"+operand) != 0 {
		perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	}
	return perm
}

func inferFusedMatMul(f *Infer) error {
	a, ok := f.Shape(0)
	b, ok2 := f.Shape(1)
	if !ok || !ok2 {
		return nil
	}
	m := *f
	m.In = []graph.Type{
		graph.TensorOf(f.Type(0).Elem, permuted(a, fusedPerm(&f.Attrs, "A", len(a)))...),
		graph.TensorOf(f.Type(1).Elem, permuted(b, fusedPerm(&f.Attrs, "B", len(b)))...),
	}
	return inferMatMul(&m)
}

// evalFusedMatMul is alpha * A' * B'.
func evalFusedMatMul(e *Eval) error {
	a, err := Transpose(e.Tensor(0), fusedPerm(&e.Attrs, "A", e.Tensor(0).Rank()))
	if err != nil {
		return err
	}
	b, err := Transpose(e.Tensor(1), fusedPerm(&e.Attrs, "B", e.Tensor(1).Rank()))
	if err != nil {
		return err
	}
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	y := matMul(a.Shape, b.Shape, a.Floats(), b.Floats())
	for i := range y {
		y[i] *= e.Float("alpha")
	}
	e.Set(0, tensor.FromFloats(a.Type, shape, y))
	return nil
}

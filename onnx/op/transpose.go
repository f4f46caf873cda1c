package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opTranspose = &Def{
	Name: "Transpose",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> transposed:T | perm:ints | T: all`},
		{Since: 13, Schema: `data:T -> transposed:T | perm:ints | T: all bfloat16`},
		{Since: 21, Schema: `data:T -> transposed:T | perm:ints | T: all f8 i4 bfloat16`},
		{Since: 23, Schema: `data:T -> transposed:T | perm:ints | T: all f8 i4 bfloat16 float4e2m1`},
		{Since: 24, Schema: `data:T -> transposed:T | perm:ints | T: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `data:T -> transposed:T | perm:ints | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferTranspose,
	Eval:  evalTranspose,
}

// permutation is the attribute perm, by default the reversal.
func permutation(a *Attrs, rank int) ([]int, error) {
	perm := a.Ints("perm")
	if a.Node.Attr("perm") == nil {
		perm = make([]int, rank)
		for i := range perm {
			perm[i] = rank - 1 - i
		}
	}
	seen := make([]bool, rank)
	for _, p := range perm {
		if p < 0 || p >= rank || seen[p] {
			return nil, fmt.Errorf("perm %v of rank %d", perm, rank)
		}
		seen[p] = true
	}
	if len(perm) != rank {
		return nil, fmt.Errorf("perm %v of rank %d", perm, rank)
	}
	return perm, nil
}

func inferTranspose(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	perm, err := permutation(&f.Attrs, len(s))
	if err != nil {
		return err
	}
	out := make([]dim.Dim, len(s))
	for i, p := range perm {
		out[i] = s[p]
	}
	f.Set(0, out...)
	return nil
}

func evalTranspose(e *Eval) error {
	x := e.Tensor(0)
	perm, err := permutation(&e.Attrs, x.Rank())
	if err != nil {
		return err
	}
	out, err := Transpose(x, perm)
	e.Set(0, out)
	return err
}

// Transpose is x with axis i of the result being axis perm[i] of x.
func Transpose(x *tensor.Tensor, perm []int) (*tensor.Tensor, error) {
	shape, strides, own := make([]int, len(perm)), make([]int, len(perm)), tensor.Strides(x.Shape)
	for i, p := range perm {
		shape[i], strides[i] = x.Shape[p], own[p]
	}
	return strided(x, shape, 0, strides, DefaultMaxBytes)
}

// strided is the tensor of the shape whose element at index is
// x[base + sum index*stride].
func strided(x *tensor.Tensor, shape []int, base int, strides []int, limit int) (*tensor.Tensor, error) {
	pos, at := make([]int, len(shape)), base
	first := true
	return tensor.Gather(x, shape, limit, func(int) int {
		if first {
			first = false
			return at
		}
		for d := len(shape) - 1; d >= 0; d-- {
			pos[d]++
			at += strides[d]
			if pos[d] < shape[d] {
				break
			}
			at -= strides[d] * shape[d]
			pos[d] = 0
		}
		return at
	})
}

package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMatMul = &Def{
	Name: "MatMul",
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> Y:T |  | T: fp`},
		{Since: 9, Schema: `A:T B:T -> Y:T |  | T: fp uint32 uint64 int32 int64`},
		{Since: 13, Schema: `A:T B:T -> Y:T |  | T: fp uint32 uint64 int32 int64 bfloat16`},
	},
	Quant: Quant{Kind: QuantInteger, Act: []int{0, 1}, Weight: 1, Axis: -1},
	Infer: inferMatMul,
	Eval:  evalMatMul,
}

func inferMatMul(f *Infer) error {
	a, ok := f.Shape(0)
	b, ok2 := f.Shape(1)
	if !ok || !ok2 {
		return nil
	}
	out, err := matMulDims(a, b)
	if err != nil {
		return err
	}
	f.Set(0, out...)
	return nil
}

// matMulDims is the result of numpy.matmul: batch axes broadcast, a rank-1
// operand is a row or column whose axis is dropped.
func matMulDims(a, b []dim.Dim) ([]dim.Dim, error) {
	if len(a) == 0 || len(b) == 0 {
		return nil, fmt.Errorf("operand of rank 0")
	}
	row, col := len(a) == 1, len(b) == 1
	if row {
		a = []dim.Dim{dim.Of(1), a[0]}
	}
	if col {
		b = []dim.Dim{b[0], dim.Of(1)}
	}
	ra, rb := len(a), len(b)
	if a[ra-1].Conflict(b[rb-2]) {
		return nil, fmt.Errorf("inner sizes %v and %v", a[ra-1], b[rb-2])
	}
	out, err := BroadcastDims(a[:ra-2], b[:rb-2])
	if err != nil {
		return nil, err
	}
	if !row {
		out = append(out, a[ra-2])
	}
	if !col {
		out = append(out, b[rb-1])
	}
	return out, nil
}

func evalMatMul(e *Eval) error {
	a, b := e.Tensor(0), e.Tensor(1)
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	if a.Type.IsFloat() {
		e.Set(0, tensor.FromFloats(a.Type, shape, matMul(a.Shape, b.Shape, a.Floats(), b.Floats())))
		return nil
	}
	e.Set(0, tensor.FromInts(a.Type, shape, matMul(a.Shape, b.Shape, a.Ints(), b.Ints())))
	return nil
}

func matMulShape(a, b []int) ([]int, error) {
	d, err := matMulDims(graph.Dims(a), graph.Dims(b))
	if err != nil {
		return nil, err
	}
	out, _ := graph.TensorOf(0, d...).Static()
	return out, nil
}

// matMul multiplies operands whose shapes matMulShape accepted.
func matMul[T number](as, bs []int, a, b []T) []T {
	if len(as) == 1 {
		as = []int{1, as[0]}
	}
	if len(bs) == 1 {
		bs = []int{bs[0], 1}
	}
	m, k, n := as[len(as)-2], as[len(as)-1], bs[len(bs)-1]
	batchA, batchB := as[:len(as)-2], bs[:len(bs)-2]
	batch, _ := tensor.Broadcast(batchA, batchB)
	out := make([]T, volume(batch)*m*n)
	EachBroadcast(batch, [][]int{batchA, batchB}, func(o int, at []int) {
		x, w, y := a[at[0]*m*k:], b[at[1]*k*n:], out[o*m*n:]
		for i := range m {
			for c := range k {
				v := x[i*k+c]
				row, acc := w[c*n:c*n+n], y[i*n:i*n+n]
				for j := range acc {
					acc[j] += v * row[j]
				}
			}
		}
	})
	return out
}

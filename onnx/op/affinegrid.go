package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opAffineGrid = &Def{
	Name: "AffineGrid",
	Versions: []Version{
		{Since: 20, Schema: `theta:T1 size:T2 -> grid:T1 | align_corners:int=0 | T1: fp bfloat16; T2: int64`},
	},
	Infer: inferAffineGrid,
	Eval:  evalAffineGrid,
}

func inferAffineGrid(f *Infer) error {
	if err := f.match("- [?]"); err != nil {
		return err
	}
	size, ok := f.InData(1)
	if !ok {
		if size, ok = f.unknownData(1); !ok {
			return nil
		}
	}
	if len(size) != 4 && len(size) != 5 {
		return fmt.Errorf("%d sizes, want 4 or 5", len(size))
	}
	spatial := len(size) - 2
	out := append([]dim.Dim{size[0]}, size[2:]...)
	f.Set(0, append(out, dim.Of(int64(spatial)))...)
	return nil
}

// evalAffineGrid is, for each output position, theta times (x, y[, z], 1) with
// x, y, z in [-1, 1]; x belongs to the innermost axis.
func evalAffineGrid(e *Eval) error {
	theta := e.Tensor(0)
	size, err := intsOf(e.Tensor(1))
	if err != nil {
		return err
	}
	n := len(size) - 2
	if n != 2 && n != 3 || theta.Rank() != 3 || theta.Shape[0] != size[0] || theta.Shape[1] != n || theta.Shape[2] != n+1 {
		return fmt.Errorf("theta %v and size %v", theta, size)
	}
	shape := append(append([]int{size[0]}, size[2:]...), n)
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	m, corners := theta.Floats(), e.Int("align_corners") != 0
	y := make([]float64, 0, volume(shape))
	pos, at := make([]int, n), make([]float64, n+1)
	at[n] = 1
	for i := range volume(shape[:n+1]) {
		batch := i / volume(size[2:])
		unravel(i%volume(size[2:]), size[2:], pos)
		for d, p := range pos {
			at[n-1-d] = gridPosition(p, size[2+d], corners)
		}
		for r := range n {
			y = append(y, dot(m[(batch*n+r)*(n+1):][:n+1], at))
		}
	}
	e.Set(0, tensor.FromFloats(theta.Type, shape, y))
	return nil
}

// gridPosition is the normalized coordinate of element i of n.
func gridPosition(i, n int, corners bool) float64 {
	switch {
	case !corners:
		return (2*float64(i)+1)/float64(n) - 1
	case n == 1:
		return 0
	}
	return 2*float64(i)/float64(n-1) - 1
}

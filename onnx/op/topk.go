package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opTopK = &Def{
	Name: "TopK",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Values:T Indices:I | axis:int=-1 k:int! | T: fp; I: int64`},
		{Since: 10, Schema: `X:T K:int64 -> Values:T Indices:I | axis:int=-1 | T: fp; I: int64`},
		{Since: 11, Schema: `X:T K:int64 -> Values:T Indices:I | axis:int=-1 largest:int=1 sorted:int=1 | T: num; I: int64`},
		{Since: 24, Schema: `X:T K:int64 -> Values:T Indices:I | axis:int=-1 largest:int=1 sorted:int=1 | T: num bfloat16; I: int64`},
	},
	Infer: inferTopK,
	Eval:  evalTopK,
}

func inferTopK(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s))
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
	}
	out := slices.Clone(s)
	out[axis] = dim.Unknown
	if f.Since < 10 {
		out[axis] = dim.Of(int64(f.Int("k")))
	} else if d, ok := f.InData(1); ok && len(d) == 1 {
		out[axis] = d[0]
	}
	f.Set(0, out...)
	f.Set(1, out...)
	return nil
}

func evalTopK(e *Eval) error {
	x := e.Tensor(0)
	k := e.Int("k")
	if e.Since >= 10 {
		k = int(e.Tensor(1).Ints()[0])
	}
	axis, ok := Axis(e.Int("axis"), x.Rank())
	if !ok || k < 0 || k > x.Shape[axis] {
		return fmt.Errorf("k %d along axis %d of %v", k, e.Int("axis"), x)
	}
	largest := e.Since < 11 || e.Int("largest") != 0
	less := lessAt(x)
	shape := slices.Clone(x.Shape)
	shape[axis] = k
	n, inner := x.Shape[axis], volume(x.Shape[axis+1:])
	from, pos := make([]int, volume(shape)), make([]int64, volume(shape))
	order := make([]int, n)
	for lane := range volume(x.Shape[:axis]) * inner {
		base := lane/inner*n*inner + lane%inner
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			p, q := base+a*inner, base+b*inner
			if largest {
				p, q = q, p
			}
			switch {
			case less(p, q):
				return -1
			case less(q, p):
				return 1
			}
			return 0
		})
		for i := range k {
			o := lane/inner*k*inner + i*inner + lane%inner
			from[o], pos[o] = base+order[i]*inner, int64(order[i])
		}
	}
	out, err := tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int { return from[i] })
	if err != nil {
		return err
	}
	e.Set(0, out)
	e.Set(1, tensor.Of(shape, pos))
	return nil
}

// lessAt compares elements of x by index; NaN is above everything.
func lessAt(x *tensor.Tensor) func(i, j int) bool {
	if x.Type == tensor.String {
		s := x.Strings()
		return func(i, j int) bool { return s[i] < s[j] }
	}
	if x.Type.IsFloat() {
		v := x.Floats()
		return func(i, j int) bool { return v[i] < v[j] || math.IsNaN(v[j]) && !math.IsNaN(v[i]) }
	}
	v := x.Ints()
	if x.Type == tensor.Uint64 {
		return func(i, j int) bool { return uint64(v[i]) < uint64(v[j]) }
	}
	return func(i, j int) bool { return v[i] < v[j] }
}

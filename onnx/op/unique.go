package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opUnique = &Def{
	Name: "Unique",
	Versions: []Version{
		{Since: 11, Schema: `X:T -> Y:T indices?:int64 inverse_indices?:int64 counts?:int64 | axis:int sorted:int=1 | T: all`},
		{Since: 28, Schema: `X:T -> Y:T indices?:int64 inverse_indices?:int64 counts?:int64 | axis:int sorted:int=1 | T: all bfloat16`},
	},
	Infer: inferUnique,
	Eval:  evalUnique,
}

func inferUnique(f *Infer) error {
	n := f.Symbol()
	for i := 1; i < len(f.Out); i++ {
		f.Set(i, n)
	}
	if !f.Has("axis") {
		f.Set(0, n)
		if s, ok := f.Shape(0); ok {
			f.Set(2, product(s))
		} else {
			f.Set(2, dim.Unknown)
		}
		return nil
	}
	f.Set(2, dim.Unknown)
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s))
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
	}
	out := slices.Clone(s)
	out[axis] = n
	f.Set(0, out...)
	f.Set(2, s[axis])
	return nil
}

func evalUnique(e *Eval) error {
	x := e.Tensor(0)
	axis := 0
	if !e.Has("axis") {
		x = x.Reshaped(x.Len())
	} else {
		var ok bool
		if axis, ok = Axis(e.Int("axis"), x.Rank()); !ok {
			return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
		}
	}
	n, inner, outer := x.Shape[axis], volume(x.Shape[axis+1:]), volume(x.Shape[:axis])
	less := lessAt(x)
	compare := func(a, b int) int { // slices a and b along the axis
		for o := range outer {
			for i := range inner {
				p, q := (o*n+a)*inner+i, (o*n+b)*inner+i
				if less(p, q) {
					return -1
				} else if less(q, p) {
					return 1
				}
			}
		}
		return 0
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, compare)
	var groups [][]int // equal slices, each in order of occurrence
	for k, i := range order {
		if k > 0 && compare(order[k-1], i) == 0 {
			groups[len(groups)-1] = append(groups[len(groups)-1], i)
		} else {
			groups = append(groups, []int{i})
		}
	}
	if e.Int("sorted") == 0 {
		slices.SortFunc(groups, func(a, b []int) int { return a[0] - b[0] })
	}
	first, inverse, counts := make([]int64, len(groups)), make([]int64, n), make([]int64, len(groups))
	for g, members := range groups {
		first[g], counts[g] = int64(members[0]), int64(len(members))
		for _, i := range members {
			inverse[i] = int64(g)
		}
	}
	shape := slices.Clone(x.Shape)
	shape[axis] = len(groups)
	out, err := tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int {
		k := i / inner
		return (k/len(groups)*n+groups[k%len(groups)][0])*inner + i%inner
	})
	e.Set(0, out)
	e.Set(1, tensor.Vector(first...))
	e.Set(2, tensor.Vector(inverse...))
	e.Set(3, tensor.Vector(counts...))
	return err
}

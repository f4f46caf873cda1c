package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opSplit = &Def{
	Name: "Split",
	Versions: []Version{
		{Since: 1, Schema: `input:T split?:T -> outputs...+:T | axis:int split:ints | T: fp`},
		{Since: 2, Schema: `input:T -> outputs+:T | axis:int=0 split:ints | T: all`},
		{Since: 11, Schema: `input:T -> outputs+:T | axis:int=0 split:ints | T: all`},
		{Since: 13, Schema: `input:T split?:int64 -> outputs+:T | axis:int=0 | T: all bfloat16`},
		{Since: 18, Schema: `input:T split?:int64 -> outputs+:T | axis:int=0 num_outputs:int | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferSplit,
	Eval:  evalSplit,
}

// splitSizes is the sizes of n outputs along an axis of the given size. Where
// none are given they are equal or, unless they must be, all but the last are.
func splitSizes(given []int, size, n int, equal bool) ([]int, error) {
	if given == nil {
		if equal && size%n != 0 {
			return nil, fmt.Errorf("%d equal parts of %d", n, size)
		}
		chunk := (size + n - 1) / n
		given = make([]int, n)
		for i := range given {
			given[i] = min(chunk, max(size-i*chunk, 0))
		}
	}
	sum := 0
	for _, s := range given {
		if s < 0 {
			return nil, fmt.Errorf("split sizes %v", given)
		}
		sum += s
	}
	if sum != size || len(given) != n {
		return nil, fmt.Errorf("split sizes %v for %d outputs of an axis of %d", given, n, size)
	}
	return given, nil
}

// splitCount checks num_outputs, where it is given, against the outputs.
func splitCount(a *Attrs, n int) error {
	if a.Has("num_outputs") && a.Int("num_outputs") != n {
		return fmt.Errorf("num_outputs is %d for %d outputs", a.Int("num_outputs"), n)
	}
	return nil
}

func inferSplit(f *Infer) error {
	if f.Since >= 18 && f.Given(1) == f.Has("num_outputs") {
		return fmt.Errorf("one of split and num_outputs is wanted")
	}
	if err := splitCount(&f.Attrs, len(f.Out)); err != nil {
		return err
	}
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s))
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
	}
	given := f.Attrs.Ints("split")
	unknownSizes := false
	if f.Since >= 13 && f.Given(1) || f.Since == 1 && f.Given(1) {
		given, ok = f.Ints(1)
		unknownSizes = !ok
	}
	n := len(f.Out)
	total, constant := s[axis].Const()
	for i := range f.Out {
		out := slices.Clone(s)
		switch {
		case unknownSizes:
			out[axis] = dim.Unknown
		case given != nil && i < len(given):
			out[axis] = dim.Of(int64(given[i]))
		case constant:
			sizes, err := splitSizes(nil, int(total), n, f.Since < 18)
			if err != nil {
				return err
			}
			out[axis] = dim.Of(int64(sizes[i]))
		case n == 1:
		default:
			out[axis] = partDim(s[axis], i, n, f.Since)
		}
		f.Set(i, out...)
	}
	if d, ok := f.InData(0); ok && len(s) == 1 && given != nil {
		for i, at := 0, 0; i < n && i < len(given) && at+given[i] <= len(d); i++ {
			f.SetData(i, d[at:at+given[i]])
			at += given[i]
		}
	}
	return nil
}

// partDim is the size of part i of n of a symbolic size: equal parts; from
// version 18 on they are rounded up and the last is what is left, which is
// followed where it needs no case distinction.
func partDim(size dim.Dim, i, n int, since int64) dim.Dim {
	k := dim.Of(int64(n))
	if since < 18 {
		return size.FloorDiv(k)
	}
	chunk := size.CeilDiv(k)
	switch {
	case i == 0 || chunk.Mul(k).Equal(size):
		return chunk
	case n == 2:
		return size.Sub(chunk)
	}
	return dim.Unknown
}

func evalSplit(e *Eval) error {
	x := e.Tensor(0)
	axis, ok := Axis(e.Int("axis"), x.Rank())
	if !ok {
		return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
	}
	given := e.Attrs.Ints("split")
	if t := e.Tensor(1); t != nil {
		var err error
		if given, err = intsOf(t); err != nil {
			return err
		}
	}
	if err := splitCount(&e.Attrs, len(e.Out)); err != nil {
		return err
	}
	sizes, err := splitSizes(given, x.Shape[axis], len(e.Out), e.Since < 18)
	if err != nil {
		return err
	}
	parts, err := splitTensor(e, x, axis, sizes)
	for i, p := range parts {
		e.Set(i, p)
	}
	return err
}

func splitTensor(e *Eval, x *tensor.Tensor, axis int, sizes []int) ([]*tensor.Tensor, error) {
	var out []*tensor.Tensor
	inner, row := volume(x.Shape[axis+1:]), volume(x.Shape[axis:])
	at := 0
	for _, size := range sizes {
		shape := slices.Clone(x.Shape)
		shape[axis] = size
		run, first := size*inner, at
		t, err := tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int { return i/run*row + first + i%run })
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		at += run
	}
	return out, nil
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMaxUnpool = &Def{
	Name: "MaxUnpool",
	Versions: []Version{
		{Since: 9, Schema: `X:T1 I:T2 output_shape?:T2 -> output:T1 | kernel_shape:ints! pads:ints strides:ints | T1: fp; T2: int64`},
		{Since: 11, Schema: `X:T1 I:T2 output_shape?:T2 -> output:T1 | kernel_shape:ints! pads:ints strides:ints | T1: fp; T2: int64`},
		{Since: 22, Schema: `X:T1 I:T2 output_shape?:T2 -> output:T1 | kernel_shape:ints! pads:ints strides:ints | T1: fp bfloat16; T2: int64`},
	},
	Check: Exact,
	Infer: inferMaxUnpool,
	Eval:  evalMaxUnpool,
}

func inferMaxUnpool(f *Infer) error {
	x, ok := f.Shape(0)
	if !ok {
		return nil
	}
	if f.Given(2) {
		out, ok := f.InData(2)
		if !ok {
			if out, ok = f.unknownData(2); ok && len(out) != len(x) {
				return fmt.Errorf("output_shape of %d sizes for %v", len(out), f.Type(0))
			}
			out = Unknowns(len(x))
		}
		if len(out) != len(x) {
			return fmt.Errorf("output_shape of %d sizes for %v", len(out), f.Type(0))
		}
		f.Set(0, out...)
		return nil
	}
	out, err := unpooledDims(&f.Attrs, x)
	f.Set(0, out...)
	return err
}

// unpooledDims is the shape of what a pool of the same attributes reads:
// (n-1)*stride - pads + kernel.
func unpooledDims(a *Attrs, x []dim.Dim) ([]dim.Dim, error) {
	kernel := a.Ints("kernel_shape")
	if len(x) < 3 || len(kernel) != len(x)-2 {
		return nil, fmt.Errorf("kernel_shape %v for rank %d", kernel, len(x))
	}
	win, err := newWindow(a, len(kernel))
	if err != nil {
		return nil, err
	}
	out := slices.Clone(x)
	for i, k := range kernel {
		grow := dim.Of(int64(k - win.Before[i] - win.After[i]))
		out[2+i] = x[2+i].Sub(dim.Of(1)).Mul(dim.Of(int64(win.Strides[i]))).Add(grow)
	}
	return out, nil
}

// evalMaxUnpool puts each element at its linear index; the rest is 0. Indices
// are into the shape that the attributes give; a larger output_shape adds
// zeros behind it, any other shape of that size or less takes them as they are.
func evalMaxUnpool(e *Eval) error {
	x, index := e.Tensor(0), e.Tensor(1)
	if !slices.Equal(x.Shape, index.Shape) {
		return fmt.Errorf("input %v and indices %v", x, index)
	}
	dims, err := unpooledDims(&e.Attrs, graph.Dims(x.Shape))
	if err != nil {
		return err
	}
	inner := make([]int, len(dims))
	for i, d := range dims {
		n, _ := d.Const()
		if inner[i] = int(n); n < 0 {
			return fmt.Errorf("input %v is unpooled to %v", x, dims)
		}
	}
	shape := inner
	if t := e.Tensor(2); t != nil {
		if shape, err = intsOf(t); err != nil {
			return err
		}
		if len(shape) != len(inner) {
			return fmt.Errorf("output_shape %v for %v", shape, x)
		}
		for i := range shape {
			if shape[i] < inner[i] {
				inner = shape
				break
			}
		}
	}
	out, err := e.New(x.Type, shape...)
	if err != nil {
		return err
	}
	put, size := tensor.Copier(out, x), int64(volume(inner))
	strides, pos := tensor.Strides(shape), make([]int, len(shape))
	for i, at := range index.Ints() {
		if at < 0 || at >= size {
			return fmt.Errorf("index %d of %v", at, inner)
		}
		unravel(int(at), inner, pos)
		to := 0
		for d, p := range pos {
			to += p * strides[d]
		}
		put(to, i)
	}
	e.Set(0, out)
	return nil
}

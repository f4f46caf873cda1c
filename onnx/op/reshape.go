package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opReshape = &Def{
	Name: "Reshape",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> reshaped:T | consumed_inputs:ints shape:ints | T: fp`},
		{Since: 5, Schema: `data:T shape:int64 -> reshaped:T |  | T: all`},
		{Since: 13, Schema: `data:T shape:int64 -> reshaped:T |  | T: all bfloat16`},
		{Since: 14, Schema: `data:T shape:int64 -> reshaped:T | allowzero:int=0 | T: all bfloat16`},
		{Since: 19, Schema: `data:T shape:int64 -> reshaped:T | allowzero:int=0 | T: all f8 bfloat16`},
		{Since: 21, Schema: `data:T shape:int64 -> reshaped:T | allowzero:int=0 | T: all f8 i4 bfloat16`},
		{Since: 23, Schema: `data:T shape:int64 -> reshaped:T | allowzero:int=0 | T: all f8 i4 bfloat16 float4e2m1`},
		{Since: 24, Schema: `data:T shape:int64 -> reshaped:T | allowzero:int=0 | T: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `data:T shape:int64 -> reshaped:T | allowzero:int=0 | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0`},
	},
	Flags: DataMovement,
	Quant: Quant{Kind: QuantSame},
	Check: Exact,
	Infer: inferReshape,
	Eval:  evalReshape,
}

func inferReshape(f *Infer) error {
	want, ok := reshapeTarget(f)
	if !ok {
		if out, ok := f.unknownData(1); ok {
			f.Set(0, out...)
		}
		return nil
	}
	in, ranked := f.Shape(0)
	zeroCopies := f.Int("allowzero") == 0
	out := make([]dim.Dim, len(want))
	infer, rest := -1, dim.Of(1)
	for i, d := range want {
		switch {
		case d.Is(-1):
			infer = i
			continue
		case d.Is(0) && zeroCopies && !ranked:
			out[i] = dim.Unknown
		case d.Is(0) && zeroCopies:
			if i >= len(in) {
				return fmt.Errorf("shape[%d] is 0 but the input has rank %d", i, len(in))
			}
			out[i] = in[i]
		case zeroCopies && d.Known() && !d.Positive() && !(ranked && neverZero(in, want, i)):
			out[i] = dim.Unknown // d, or the input's size where d turns out 0
		default:
			out[i] = d
		}
		rest = rest.Mul(out[i])
	}
	if infer >= 0 && ranked {
		out[infer] = product(in).FloorDiv(rest)
		if n, ok := out[infer].Const(); ok && n < 0 {
			return fmt.Errorf("cannot reshape %v to %v", f.Type(0), want)
		}
	} else if infer < 0 && ranked && product(in).Conflict(rest) {
		return fmt.Errorf("cannot reshape %v to %v", f.Type(0), want)
	}
	f.Set(0, out...)
	if d, ok := f.InData(0); ok && len(out) <= 1 {
		f.SetData(0, d)
	}
	return nil
}

// neverZero reports that a reshape to want cannot run if want[i] turns out 0 and so stands for in[i],
// or that this is 0 as well: without that size the input is empty, but the result is not.
func neverZero(in, want []dim.Dim, i int) bool {
	if i >= len(in) || in[i].Equal(want[i]) {
		return true
	}
	all := product(in)
	if !in[i].Positive() || !all.FloorDiv(want[i]).Mul(want[i]).Equal(all) {
		return false
	}
	for k, d := range want {
		if d.Is(0) && k < len(in) {
			d = in[k]
		}
		if k != i && !d.Positive() {
			return false
		}
	}
	return true
}

// reshapeTarget is the requested shape: an input, or an attribute before
// opset 5.
func reshapeTarget(f *Infer) ([]dim.Dim, bool) {
	if f.Since >= 5 {
		return f.InData(1)
	}
	var out []dim.Dim
	for _, d := range f.Attrs.Ints("shape") {
		out = append(out, dim.Of(int64(d)))
	}
	return out, f.Has("shape")
}

func product(shape []dim.Dim) dim.Dim {
	p := dim.Of(1)
	for _, d := range shape {
		p = p.Mul(d)
	}
	return p
}

func evalReshape(e *Eval) error {
	x := e.Tensor(0)
	var want []int64
	if e.Since >= 5 {
		want = e.Tensor(1).Ints()
	} else if a := e.Attr("shape"); a != nil {
		want = a.Ints
	}
	shape, infer, rest := make([]int, len(want)), -1, 1
	for i, d := range want {
		switch {
		case d == -1 && infer < 0:
			infer = i
			continue
		case d == 0 && e.Int("allowzero") == 0:
			if i >= x.Rank() {
				return fmt.Errorf("shape[%d] is 0 but the input has rank %d", i, x.Rank())
			}
			shape[i] = x.Shape[i]
		case d < 0:
			return fmt.Errorf("shape %v", want)
		default:
			shape[i] = int(d)
		}
		rest *= shape[i]
	}
	if infer >= 0 && rest != 0 {
		shape[infer] = x.Len() / rest
	}
	if n, err := tensor.Count(shape); err != nil || n != x.Len() {
		return fmt.Errorf("cannot reshape %v to %v", x, want)
	}
	e.Set(0, x.Reshaped(shape...))
	return nil
}

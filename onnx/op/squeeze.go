package op

import (
	"fmt"

	"onnxopt/onnx/dim"
)

var opSqueeze = &Def{
	Name: "Squeeze",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> squeezed:T | axes:ints | T: all`},
		{Since: 11, Schema: `data:T -> squeezed:T | axes:ints | T: all`},
		{Since: 13, Schema: `data:T axes?:int64 -> squeezed:T |  | T: all bfloat16`},
		{Since: 21, Schema: `data:T axes?:int64 -> squeezed:T |  | T: all f8 i4 bfloat16`},
		{Since: 23, Schema: `data:T axes?:int64 -> squeezed:T |  | T: all f8 i4 bfloat16 float4e2m1`},
		{Since: 24, Schema: `data:T axes?:int64 -> squeezed:T |  | T: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `data:T axes?:int64 -> squeezed:T |  | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferSqueeze,
	Eval:  evalSqueeze,
}

func inferSqueeze(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axes, given, known := f.axesParam(13)
	if !known {
		return nil
	}
	var out []dim.Dim
	if !given {
		for _, d := range s {
			if _, constant := d.Const(); !constant {
				return nil // which sizes are 1 is not known
			}
			if !d.Is(1) {
				out = append(out, d)
			}
		}
	} else {
		drop, err := axisSet(axes, len(s))
		if err != nil {
			return err
		}
		for i, d := range s {
			if !drop[i] {
				out = append(out, d)
			} else if d.Conflict(dim.Of(1)) {
				return fmt.Errorf("axis %d of %v is not 1", i, f.Type(0))
			} else if f.Must != nil && !d.Is(1) {
				f.Must(0, i, dim.Of(1))
			}
		}
	}
	f.Set(0, out...)
	f.passData()
	return nil
}

// axesParam is the axes, an attribute before opset `since` and input 1 from
// then on: the axes, whether they are given, whether they are known.
func (f *Infer) axesParam(since int64) (axes []int, given, known bool) {
	if f.Since < since {
		return f.Attrs.Ints("axes"), f.Has("axes"), true
	}
	if !f.Given(1) {
		return nil, false, true
	}
	axes, known = f.Ints(1)
	return axes, true, known
}

// axesParam is the axes, an attribute before opset `since` and input 1 from
// then on, and whether they are given.
func (e *Eval) axesParam(since int64) ([]int, bool, error) {
	if e.Since < since {
		return e.Attrs.Ints("axes"), e.Has("axes"), nil
	}
	t := e.Tensor(1)
	if t == nil {
		return nil, false, nil
	}
	axes, err := intsOf(t)
	return axes, true, err
}

// passData hands the elements on when the output holds the same ones, in
// rank 0 or 1.
func (f *Infer) passData() {
	if d, ok := f.InData(0); ok && len(f.Out[0].Shape) <= 1 && f.Out[0].Ranked {
		f.SetData(0, d)
	}
}

// axisSet marks axes of a rank.
func axisSet(axes []int, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range axes {
		i, ok := Axis(a, rank)
		if !ok || set[i] {
			return nil, fmt.Errorf("axes %v of rank %d", axes, rank)
		}
		set[i] = true
	}
	return set, nil
}

func evalSqueeze(e *Eval) error {
	x := e.Tensor(0)
	axes, given, err := e.axesParam(13)
	if err != nil {
		return err
	}
	drop, err := axisSet(axes, x.Rank())
	if err != nil {
		return err
	}
	var shape []int
	for i, d := range x.Shape {
		if given && !drop[i] || !given && d != 1 {
			shape = append(shape, d)
		} else if d != 1 {
			return fmt.Errorf("axis %d of %v is not 1", i, x)
		}
	}
	e.Set(0, x.Reshaped(shape...))
	return nil
}

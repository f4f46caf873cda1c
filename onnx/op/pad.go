package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opPad = &Def{
	Name: "Pad",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> output:T | mode:string="constant" paddings:ints! value:float=0 | T: fp`},
		{Since: 2, Schema: `data:T -> output:T | mode:string="constant" pads:ints! value:float=0 | T: fp`},
		{Since: 11, Schema: `data:T pads:int64 constant_value?:T -> output:T | mode:string="constant" | T: num`},
		{Since: 13, Schema: `data:T pads:int64 constant_value?:T -> output:T | mode:string="constant" | T: all bfloat16`},
		{Since: 18, Schema: `data:T pads:int64 constant_value?:T axes?:Tind -> output:T | mode:string="constant" | T: all bfloat16; Tind: int32 int64`},
		{Since: 19, Schema: `data:T pads:int64 constant_value?:T axes?:Tind -> output:T | mode:string="constant" | T: all bfloat16; Tind: int32 int64`},
		{Since: 21, Schema: `data:T pads:int64 constant_value?:T axes?:Tind -> output:T | mode:string="constant" | T: all f8 i4 bfloat16; Tind: int32 int64`},
		{Since: 23, Schema: `data:T pads:int64 constant_value?:T axes?:Tind -> output:T | mode:string="constant" | T: all f8 i4 bfloat16 float4e2m1; Tind: int32 int64`},
		{Since: 24, Schema: `data:T pads:int64 constant_value?:T axes?:Tind -> output:T | mode:string="constant" | T: all f8 i4 bfloat16 float4e2m1 float8e8m0; Tind: int32 int64`},
		{Since: 25, Schema: `data:T pads:int64 constant_value?:T axes?:Tind -> output:T | mode:string="constant" | T: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0; Tind: int32 int64`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferPad,
	Eval:  evalPad,
}

func inferPad(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	out := Unknowns(len(s))
	pads, known := f.padParam()
	if known {
		axes := make([]int, len(s))
		for i := range axes {
			axes[i] = i
		}
		if f.Given(3) {
			if axes, known = f.Ints(3); !known {
				f.Set(0, out...)
				return nil
			}
		}
		if len(pads) != 2*len(axes) {
			return fmt.Errorf("%d pads for %d axes", len(pads), len(axes))
		}
		copy(out, s)
		for i, a := range axes {
			axis, ok := Axis(a, len(s))
			if !ok {
				return fmt.Errorf("axis %d of rank %d", a, len(s))
			}
			out[axis] = s[axis].Add(pads[i]).Add(pads[len(axes)+i])
		}
	}
	f.Set(0, out...)
	return nil
}

func (f *Infer) padParam() ([]dim.Dim, bool) {
	if f.Since >= 11 {
		return f.InData(1)
	}
	name := "pads"
	if f.Since < 2 {
		name = "paddings"
	}
	var out []dim.Dim
	for _, p := range f.Attrs.Ints(name) {
		out = append(out, dim.Of(int64(p)))
	}
	return out, true
}

func evalPad(e *Eval) error {
	x := e.Tensor(0)
	before, shape, err := padGeometry(e, x)
	if err != nil {
		return err
	}
	fill, err := padValue(e, x.Type)
	if err != nil {
		return err
	}
	out, err := e.New(x.Type, shape...)
	if err != nil {
		return err
	}
	mode := e.Str("mode")
	own, pos := tensor.Strides(x.Shape), make([]int, len(shape))
	put, putFill := tensor.Copier(out, x), tensor.Copier(out, fill)
	for i := range out.Len() {
		unravel(i, shape, pos)
		at := 0
		for d, p := range pos {
			p, ok := padSource(p-before[d], x.Shape[d], mode)
			if !ok {
				at = -1
				break
			}
			at += p * own[d]
		}
		if at < 0 {
			putFill(i, 0)
		} else {
			put(i, at)
		}
	}
	e.Set(0, out)
	return nil
}

// padSource maps a position outside [0, n) by the mode; false where the pad
// value goes.
func padSource(p, n int, mode string) (int, bool) {
	if p >= 0 && p < n {
		return p, true
	}
	if n == 0 {
		return 0, false
	}
	switch mode {
	case "edge":
		return min(max(p, 0), n-1), true
	case "wrap":
		return (p%n + n) % n, true
	case "reflect":
		if n == 1 {
			return 0, true
		}
		period := 2 * (n - 1)
		p = (p%period + period) % period
		return min(p, period-p), true
	}
	return 0, false
}

func padGeometry(e *Eval, x *tensor.Tensor) (before, shape []int, err error) {
	var pads []int
	axes := make([]int, x.Rank())
	for i := range axes {
		axes[i] = i
	}
	switch {
	case e.Since >= 11:
		if pads, err = intsOf(e.Tensor(1)); err != nil {
			return nil, nil, err
		}
		if t := e.Tensor(3); t != nil {
			if axes, err = intsOf(t); err != nil {
				return nil, nil, err
			}
		}
	case e.Since >= 2:
		pads = e.Attrs.Ints("pads")
	default:
		pads = e.Attrs.Ints("paddings")
	}
	if len(pads) != 2*len(axes) {
		return nil, nil, fmt.Errorf("%d pads for %d axes", len(pads), len(axes))
	}
	before, shape = make([]int, x.Rank()), slices.Clone(x.Shape)
	for i, a := range axes {
		axis, ok := Axis(a, x.Rank())
		if !ok || slices.ContainsFunc(axes[:i], func(b int) bool { return (a-b)%x.Rank() == 0 }) {
			return nil, nil, fmt.Errorf("axes %v of %v", axes, x)
		}
		before[axis] = pads[i]
		shape[axis] += pads[i] + pads[len(axes)+i]
		if shape[axis] < 0 {
			return nil, nil, fmt.Errorf("pads %v of %v", pads, x)
		}
	}
	return before, shape, nil
}

func padValue(e *Eval, t tensor.DType) (*tensor.Tensor, error) {
	if e.Since >= 11 {
		if v := e.Tensor(2); v != nil && v.Len() == 1 {
			return v, nil
		}
		return tensor.New(t, 1), nil
	}
	return tensor.FromFloats(t, []int{1}, []float64{e.Float("value")}), nil
}

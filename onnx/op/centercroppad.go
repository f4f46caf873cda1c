package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opCenterCropPad = &Def{
	Name: "CenterCropPad",
	Versions: []Version{
		{Since: 18, Schema: `input_data:T shape:Tind -> output_data:T | axes:ints | T: all bfloat16; Tind: int32 int64`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferCenterCropPad,
	Eval:  evalCenterCropPad,
}

func inferCenterCropPad(f *Infer) error {
	x, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axes, err := resizeAxes(&f.Attrs, len(x))
	if err != nil {
		return err
	}
	want, ok := f.InData(1)
	if !ok {
		want = Unknowns(len(axes))
	}
	if len(want) != len(axes) {
		return fmt.Errorf("%d sizes for %d axes", len(want), len(axes))
	}
	out := slices.Clone(x)
	for i, a := range axes {
		out[a] = want[i]
	}
	f.Set(0, out...)
	return nil
}

// evalCenterCropPad cuts or pads each axis to its size, with one element less
// before than behind where the difference is odd.
func evalCenterCropPad(e *Eval) error {
	x := e.Tensor(0)
	axes, err := resizeAxes(&e.Attrs, x.Rank())
	if err != nil {
		return err
	}
	want, err := intsOf(e.Tensor(1))
	if err != nil {
		return err
	}
	if len(want) != len(axes) {
		return fmt.Errorf("%d sizes for %d axes", len(want), len(axes))
	}
	shape, first := slices.Clone(x.Shape), make([]int, x.Rank()) // output position 0 is input position first
	for i, a := range axes {
		shape[a] = want[i]
		if d := x.Shape[a] - want[i]; d >= 0 {
			first[a] = d / 2
		} else {
			first[a] = -(-d / 2)
		}
	}
	out, err := e.New(x.Type, shape...)
	if err != nil {
		return err
	}
	put, strides, pos := tensor.Copier(out, x), tensor.Strides(x.Shape), make([]int, len(shape))
elements:
	for i := range out.Len() {
		unravel(i, shape, pos)
		at := 0
		for d, p := range pos {
			if p += first[d]; p < 0 || p >= x.Shape[d] {
				continue elements
			}
			at += p * strides[d]
		}
		put(i, at)
	}
	e.Set(0, out)
	return nil
}

package op

import (
	"slices"

	"onnxopt/onnx/tensor"
)

var opExpand = &Def{
	Name: "Expand",
	Versions: []Version{
		{Since: 8, Schema: `input:T shape:int64 -> output:T |  | T: all`},
		{Since: 13, Schema: `input:T shape:int64 -> output:T |  | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferExpand,
	Eval:  evalExpand,
}

func inferExpand(f *Infer) error {
	if err := f.match("- [?]"); err != nil {
		return err
	}
	s, ok := f.Shape(0)
	d, ok2 := f.InData(1)
	if !ok2 {
		d, ok2 = f.unknownData(1)
	}
	if !ok || !ok2 {
		return nil
	}
	out, err := BroadcastDims(s, d)
	if err != nil {
		return err
	}
	f.Set(0, out...)
	if v, ok := f.InData(0); ok && len(out) == 1 && len(v) == 1 {
		if n, known := out[0].Const(); known && n <= 1024 {
			f.SetData(0, slices.Repeat(v, int(n)))
		}
	}
	return nil
}

func evalExpand(e *Eval) error {
	x := e.Tensor(0)
	want, err := intsOf(e.Tensor(1))
	if err != nil {
		return err
	}
	shape, err := tensor.Broadcast(x.Shape, want)
	if err != nil {
		return err
	}
	out, err := broadcastTo(x, shape, e.Env.maxBytes())
	e.Set(0, out)
	return err
}

// broadcastTo repeats x to a shape that it broadcasts to.
func broadcastTo(x *tensor.Tensor, shape []int, limit int) (*tensor.Tensor, error) {
	strides, own := make([]int, len(shape)), tensor.Strides(x.Shape)
	for i, d := range x.Shape {
		if d != 1 {
			strides[len(shape)-x.Rank()+i] = own[i]
		}
	}
	return strided(x, shape, 0, strides, limit)
}

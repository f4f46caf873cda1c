package op

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opQLinearConv = &Def{
	Name: "QLinearConv",
	Versions: []Version{
		{Since: 10, Schema: `x:T1 x_scale:float x_zero_point:T1 w:T2 w_scale:float w_zero_point:T2 y_scale:float y_zero_point:T3 B?:T4 -> y:T3 | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints | T1: int8 uint8; T2: int8 uint8; T3: int8 uint8; T4: int32`},
	},
	Infer: inferQLinearConv,
	Eval:  evalQLinearConv,
}

func inferQLinearConv(f *Infer) error {
	conv := *f
	conv.In = []graph.Type{f.Type(0), f.Type(3)}
	if err := inferConv(&conv); err != nil {
		return err
	}
	f.Out = conv.Out
	f.SetElem(0, f.Type(7).Elem)
	return nil
}

func evalQLinearConv(e *Eval) error {
	x, w := e.Tensor(0), e.Tensor(3)
	geo, err := NewConvGeometry(&e.Attrs, x.Shape, w.Shape)
	if err != nil {
		return err
	}
	xv, err := minusZeroPoint(x, e.Tensor(2), -1)
	if err != nil {
		return err
	}
	wv, err := minusZeroPoint(w, e.Tensor(5), 0)
	if err != nil {
		return err
	}
	var bias []int64
	if b := e.Tensor(8); b != nil {
		bias = b.Ints()
	}
	acc := convolve(geo, xv, wv, bias)
	plane, channels := volume(geo.out[2:]), geo.out[1]
	out, err := requantize(acc, e.Tensor(1), e.Tensor(4), e.Tensor(6), e.Tensor(7), func(i, scales int) int {
		if scales == 1 {
			return 0
		}
		return i / plane % channels
	})
	if err != nil {
		return err
	}
	e.Set(0, tensor.FromInts(e.Tensor(7).Type, geo.out, out))
	return nil
}

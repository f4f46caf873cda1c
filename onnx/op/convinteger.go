package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opConvInteger = &Def{
	Name: "ConvInteger",
	Versions: []Version{
		{Since: 10, Schema: `x:T1 w:T2 x_zero_point?:T1 w_zero_point?:T2 -> y:T3 | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints | T1: int8 uint8; T2: int8 uint8; T3: int32`},
	},
	Check: Exact,
	Infer: inferConv,
	Eval:  evalConvInteger,
}

func evalConvInteger(e *Eval) error {
	x, w := e.Tensor(0), e.Tensor(1)
	geo, err := e.integerConv(x, w)
	if err != nil {
		return err
	}
	xv, err := minusZeroPoint(x, e.Tensor(2), -1)
	if err != nil {
		return err
	}
	wv, err := minusZeroPoint(w, e.Tensor(3), 0)
	if err != nil {
		return err
	}
	e.Set(0, tensor.FromInts(tensor.Int32, geo.out, convolve(geo, xv, wv, nil)))
	return nil
}

// integerConv is the geometry of a convolution whose output is small enough.
func (e *Eval) integerConv(x, w *tensor.Tensor) (ConvGeometry, error) {
	if x.Rank() < 3 || w.Rank() != x.Rank() {
		return ConvGeometry{}, fmt.Errorf("input %v and weight %v", x, w)
	}
	geo, err := NewConvGeometry(&e.Attrs, x.Shape, w.Shape)
	if err != nil {
		return geo, err
	}
	return geo, e.Fits(tensor.Int64, geo.out)
}

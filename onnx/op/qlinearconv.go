package op

import (
	"fmt"

	"onnxopt/onnx/graph"
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

// evalQLinearConv accumulates in int32 and requantizes by
// x_scale*w_scale[m]/y_scale, rounding half to even.
func evalQLinearConv(e *Eval) error {
	x, w := e.Tensor(0), e.Tensor(3)
	geo, err := e.integerConv(x, w)
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
	channels := geo.out[1]
	var bias []int64
	if b := e.Tensor(8); b != nil {
		if b.Len() != channels {
			return fmt.Errorf("bias %v for %d channels", b, channels)
		}
		bias = b.Ints()
	}
	xs, err := perTensor(e.Tensor(1))
	if err != nil {
		return err
	}
	ws := e.Tensor(4).Floats()
	if len(ws) != 1 && len(ws) != channels {
		return fmt.Errorf("weight scale %v for %d channels", e.Tensor(4), channels)
	}
	plane := volume(geo.out[2:])
	return e.requantize(geo.out, wrapped(convolve(geo, xv, wv, bias)), func(i int) float64 {
		return float64(float32(xs) * float32(ws[i/plane%channels%len(ws)]))
	})
}

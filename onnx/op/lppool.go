package op

import (
	"math"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opLpPool = &Def{
	Name: "LpPool",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" kernel_shape:ints p:float=2 pads:ints strides:ints | T: fp`},
		{Since: 2, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" kernel_shape:ints! p:int=2 pads:ints strides:ints | T: fp`},
		{Since: 11, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" kernel_shape:ints! p:int=2 pads:ints strides:ints | T: fp`},
		{Since: 18, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" ceil_mode:int=0 dilations:ints kernel_shape:ints! p:int=2 pads:ints strides:ints | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" ceil_mode:int=0 dilations:ints kernel_shape:ints! p:int=2 pads:ints strides:ints | T: fp bfloat16`},
	},
	Infer: inferPool,
	Eval:  evalLpPool,
}

func evalLpPool(e *Eval) error {
	x := e.Tensor(0)
	q, err := newPool(e, x.Shape)
	if err != nil {
		return err
	}
	p := e.Float("p")
	if a := e.Attr("p"); a != nil && a.Kind == graph.AttrInt {
		p = float64(a.I)
	}
	v, plane, outPlane := x.Floats(), volume(x.Shape[2:]), volume(q.out)
	n := x.Shape[0] * x.Shape[1]
	y := make([]float64, n*outPlane)
	q.win.EachTap(x.Shape[2:], q.out, q.kernel, func(o, _, i int) {
		for c := range n {
			y[c*outPlane+o] += math.Pow(math.Abs(v[c*plane+i]), p)
		}
	})
	for i := range y {
		y[i] = math.Pow(y[i], 1/p)
	}
	e.Set(0, tensor.FromFloats(x.Type, append([]int{x.Shape[0], x.Shape[1]}, q.out...), y))
	return nil
}

package op

import "onnxopt/onnx/tensor"

var opAveragePool = &Def{
	Name: "AveragePool",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" kernel_shape:ints! pads:ints strides:ints | T: fp`},
		{Since: 7, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" count_include_pad:int=0 kernel_shape:ints! pads:ints strides:ints | T: fp`},
		{Since: 10, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" ceil_mode:int=0 count_include_pad:int=0 kernel_shape:ints! pads:ints strides:ints | T: fp`},
		{Since: 11, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" ceil_mode:int=0 count_include_pad:int=0 kernel_shape:ints! pads:ints strides:ints | T: fp`},
		{Since: 19, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" ceil_mode:int=0 count_include_pad:int=0 dilations:ints kernel_shape:ints! pads:ints strides:ints | T: fp`},
		{Since: 22, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" ceil_mode:int=0 count_include_pad:int=0 dilations:ints kernel_shape:ints! pads:ints strides:ints | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantEach},
	Infer: inferPool,
	Eval:  evalAveragePool,
}

func evalAveragePool(e *Eval) error {
	x := e.Tensor(0)
	p, err := newPool(e, x.Shape)
	if err != nil {
		return err
	}
	v, plane, outPlane := x.Floats(), volume(x.Shape[2:]), volume(p.out)
	n := x.Shape[0] * x.Shape[1]
	y, count := make([]float64, n*outPlane), make([]float64, outPlane)
	p.win.EachTap(x.Shape[2:], p.out, p.kernel, func(o, _, i int) {
		count[o]++
		for c := range n {
			y[c*outPlane+o] += v[c*plane+i]
		}
	})
	if e.Int("count_include_pad") != 0 {
		p.countPadding(x.Shape[2:], count)
	}
	for i := range y {
		if k := count[i%outPlane]; k > 0 {
			y[i] /= k
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, append([]int{x.Shape[0], x.Shape[1]}, p.out...), y))
	return nil
}

// countPadding counts the Window positions inside the padded input.
func (p *pool) countPadding(in []int, count []float64) {
	opos, kpos := make([]int, len(in)), make([]int, len(in))
	for o := range count {
		unravel(o, p.out, opos)
		count[o] = 0
	taps:
		for k := range volume(p.kernel) {
			unravel(k, p.kernel, kpos)
			for d := range in {
				at := opos[d]*p.win.Strides[d] + kpos[d]*p.win.Dilations[d]
				if at >= in[d]+p.win.Before[d]+p.win.After[d] {
					continue taps
				}
			}
			count[o]++
		}
	}
}

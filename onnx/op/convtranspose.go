package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opConvTranspose = &Def{
	Name: "ConvTranspose",
	Versions: []Version{
		{Since: 1, Schema: `X:T W:T B?:T -> Y:T | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints output_padding:ints output_shape:ints pads:ints strides:ints | T: fp`},
		{Since: 11, Schema: `X:T W:T B?:T -> Y:T | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints output_padding:ints output_shape:ints pads:ints strides:ints | T: fp`},
		{Since: 22, Schema: `X:T W:T B?:T -> Y:T | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints output_padding:ints output_shape:ints pads:ints strides:ints | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantInteger, Weight: 1, Bias: 2, Axis: 1},
	Infer: inferConvTranspose,
	Eval:  evalConvTranspose,
}

func inferConvTranspose(f *Infer) error {
	x, ok := f.Shape(0)
	w, ok2 := f.Shape(1)
	if !ok || !ok2 {
		return nil
	}
	if len(x) < 3 || len(w) != len(x) {
		return fmt.Errorf("input %v and weight %v", f.Type(0), f.Type(1))
	}
	out := Unknowns(len(x))
	out[0], out[1] = x[0], w[1].Mul(dim.Of(int64(f.Int("group"))))
	win, err := newWindow(&f.Attrs, len(x)-2)
	if err != nil {
		return err
	}
	kernel := kernelDims(&f.Attrs, w, len(x)-2)
	given, extra := f.Attrs.Ints("output_shape"), f.Attrs.Ints("output_padding")
	for i := range kernel {
		if kernel[i].Conflict(w[2+i]) {
			return fmt.Errorf("kernel_shape %v but weight %v", kernel, f.Type(1))
		}
		s := dim.Of(int64(win.Strides[i]))
		switch {
		case len(given) >= len(kernel):
			out[2+i] = dim.Of(int64(given[len(given)-len(kernel)+i]))
		case win.auto == "SAME_UPPER" || win.auto == "SAME_LOWER":
			out[2+i] = x[2+i].Mul(s)
		default:
			o := x[2+i].Sub(dim.Of(1)).Mul(s).Add(kernel[i].Sub(dim.Of(1)).Mul(dim.Of(int64(win.Dilations[i])))).Add(dim.Of(1))
			o = o.Sub(dim.Of(int64(win.Before[i] + win.After[i])))
			if i < len(extra) {
				o = o.Add(dim.Of(int64(extra[i])))
			}
			out[2+i] = o
		}
	}
	f.Set(0, out...)
	return nil
}

// evalConvTranspose adds X[n,c,i]*W[c,m,k] at output position
// i*stride - pad + k*dilation.
func evalConvTranspose(e *Eval) error {
	x, w := e.Tensor(0), e.Tensor(1)
	win, out, err := transposeGeometry(e, x, w)
	if err != nil {
		return err
	}
	group := e.Int("group")
	perIn, perOut := x.Shape[1]/group, w.Shape[1]
	shape := append([]int{x.Shape[0], perOut * group}, out...)
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	inPlane, outPlane, taps := volume(x.Shape[2:]), volume(out), volume(w.Shape[2:])
	xv, wv, y := x.Floats(), w.Floats(), make([]float64, volume(shape))
	// The input is the output of the convolution that this is the transpose of.
	win.EachTap(out, x.Shape[2:], w.Shape[2:], func(i, k, o int) {
		for n := range x.Shape[0] {
			for c := range x.Shape[1] {
				v := xv[(n*x.Shape[1]+c)*inPlane+i]
				for m := range perOut {
					y[((n*group+c/perIn)*perOut+m)*outPlane+o] += v * wv[(c*perOut+m)*taps+k]
				}
			}
		}
	})
	if b := e.Tensor(2); b != nil {
		bias := b.Floats()
		if len(bias) != shape[1] {
			return fmt.Errorf("bias %v for %d channels", b, shape[1])
		}
		for i := range y {
			y[i] += bias[i/outPlane%shape[1]]
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, y))
	return nil
}

// NewTransposeGeometry is the window and the spatial output dims of a
// ConvTranspose of an input and a weight of these shapes.
func NewTransposeGeometry(a *Attrs, x, w []int) (*Window, []int, error) {
	win, out, err := transposeGeometry(&Eval{Attrs: *a}, &tensor.Tensor{Shape: x}, &tensor.Tensor{Shape: w})
	return &win, out, err
}

func transposeGeometry(e *Eval, x, w *tensor.Tensor) (Window, []int, error) {
	rank := x.Rank() - 2
	group := e.Int("group")
	if rank < 1 || w.Rank() != x.Rank() || group < 1 || x.Shape[1] != w.Shape[0] || x.Shape[1]%group != 0 {
		return Window{}, nil, fmt.Errorf("input %v and weight %v in %d groups", x, w, group)
	}
	if k := e.Attrs.Ints("kernel_shape"); k != nil && !slices.Equal(k, w.Shape[2:]) {
		return Window{}, nil, fmt.Errorf("kernel_shape %v but weight %v", k, w)
	}
	win, err := newWindow(&e.Attrs, rank)
	if err != nil {
		return win, nil, err
	}
	given, extra := e.Attrs.Ints("output_shape"), e.Attrs.Ints("output_padding")
	if extra == nil {
		extra = make([]int, rank)
	}
	if given != nil && len(given) < rank || len(extra) != rank {
		return win, nil, fmt.Errorf("output_shape %v, output_padding %v for rank %d", given, extra, rank)
	}
	same := win.auto == "SAME_UPPER" || win.auto == "SAME_LOWER"
	win.Before, win.After = slices.Clone(win.Before), slices.Clone(win.After)
	out := make([]int, rank)
	for i := range out {
		full := (x.Shape[2+i]-1)*win.Strides[i] + extra[i] + (w.Shape[2+i]-1)*win.Dilations[i] + 1
		switch {
		case given != nil:
			out[i] = given[len(given)-rank+i]
		case same:
			out[i] = x.Shape[2+i] * win.Strides[i]
		default:
			out[i] = full - win.Before[i] - win.After[i]
		}
		if given != nil || same {
			total := max(full-out[i], 0)
			win.Before[i] = total / 2
			if win.auto != "SAME_UPPER" {
				win.Before[i] = total - total/2
			}
			if win.auto == "NOTSET" {
				win.Before[i] = total / 2
			}
		}
		if out[i] < 0 {
			return win, nil, fmt.Errorf("output size %d", out[i])
		}
	}
	return win, out, nil
}

// NewConvTransposeGeometry resolves the window of a ConvTranspose over input x
// and weight w, and the spatial output sizes. The window slides over the
// output.
func NewConvTransposeGeometry(a *Attrs, x, w []int) (Window, []int, error) {
	return transposeGeometry(&Eval{Attrs: *a}, &tensor.Tensor{Shape: x}, &tensor.Tensor{Shape: w})
}

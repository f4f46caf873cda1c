package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMaxPool = &Def{
	Name: "MaxPool",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | auto_pad:string="NOTSET" kernel_shape:ints! pads:ints strides:ints | T: fp`},
		{Since: 8, Schema: `X:T -> Y:T Indices?:I | auto_pad:string="NOTSET" kernel_shape:ints! pads:ints storage_order:int=0 strides:ints | T: fp; I: int64`},
		{Since: 10, Schema: `X:T -> Y:T Indices?:I | auto_pad:string="NOTSET" ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints storage_order:int=0 strides:ints | T: fp; I: int64`},
		{Since: 11, Schema: `X:T -> Y:T Indices?:I | auto_pad:string="NOTSET" ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints storage_order:int=0 strides:ints | T: fp; I: int64`},
		{Since: 12, Schema: `X:T -> Y:T Indices?:I | auto_pad:string="NOTSET" ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints storage_order:int=0 strides:ints | T: fp int8 uint8; I: int64`},
		{Since: 22, Schema: `X:T -> Y:T Indices?:I | auto_pad:string="NOTSET" ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints storage_order:int=0 strides:ints | T: fp bfloat16 int8 uint8; I: int64`},
	},
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferPool,
	Eval:  evalMaxPool,
}

func evalMaxPool(e *Eval) error {
	x := e.Tensor(0)
	p, err := newPool(e, x.Shape)
	if err != nil {
		return err
	}
	plane, outPlane := volume(x.Shape[2:]), volume(p.out)
	n := x.Shape[0] * x.Shape[1]
	if err := e.Fits(tensor.Int64, []int{n, outPlane}); err != nil {
		return err
	}
	from := make([]int, n*outPlane)
	for i := range from {
		from[i] = -1
	}
	less := lessAt(x)
	p.win.EachTap(x.Shape[2:], p.out, p.kernel, func(o, _, i int) {
		for c := range n {
			if at := &from[c*outPlane+o]; *at < 0 || less(*at, c*plane+i) {
				*at = c*plane + i
			}
		}
	})
	shape := append([]int{x.Shape[0], x.Shape[1]}, p.out...)
	out, err := e.New(x.Type, shape...)
	if err != nil {
		return err
	}
	put := tensor.Copier(out, x)
	lowest := lowestOf(x.Type)
	putLowest := tensor.Copier(out, lowest)
	for i, at := range from {
		if at >= 0 {
			put(i, at)
		} else {
			putLowest(i, 0) // the Window lies in the padding alone
		}
	}
	e.Set(0, out)
	if e.Wants(1) {
		e.Set(1, tensor.Of(shape, maxIndices(from, x.Shape, e.Int("storage_order") != 0)))
	}
	return nil
}

func lowestOf(t tensor.DType) *tensor.Tensor {
	if t.IsFloat() {
		return tensor.FromFloats(t, []int{1}, []float64{math.Inf(-1)})
	}
	lo, _ := t.IntRange()
	return tensor.FromInts(t, []int{1}, []int64{lo})
}

// maxIndices is the linear indices, with the spatial axes in column-major
// order on request.
func maxIndices(from []int, shape []int, columnMajor bool) []int64 {
	out := make([]int64, len(from))
	spatial, pos := shape[2:], make([]int, len(shape)-2)
	plane := volume(spatial)
	for i, at := range from {
		if columnMajor {
			unravel(at%plane, spatial, pos)
			k, stride := 0, 1
			for d := range pos {
				k += pos[d] * stride
				stride *= spatial[d]
			}
			at = at/plane*plane + k
		}
		out[i] = int64(at)
	}
	return out
}

// pool is the geometry of a pooling operator.
type pool struct {
	win         Window
	kernel, out []int
}

func newPool(e *Eval, x []int) (pool, error) {
	if len(x) < 3 {
		return pool{}, fmt.Errorf("input of shape %v", x)
	}
	p := pool{kernel: e.Attrs.Ints("kernel_shape")}
	if len(p.kernel) != len(x)-2 || slices.ContainsFunc(p.kernel, func(k int) bool { return k < 1 }) {
		return p, fmt.Errorf("kernel_shape %v for input of shape %v", p.kernel, x)
	}
	var err error
	if p.win, err = newWindow(&e.Attrs, len(x)-2); err != nil {
		return p, err
	}
	p.out, err = p.win.resolve(x[2:], p.kernel, e.Int("ceil_mode") != 0)
	return p, err
}

func inferPool(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	kernel := f.Attrs.Ints("kernel_shape")
	if len(s) < 3 || len(kernel) != len(s)-2 || slices.ContainsFunc(kernel, func(k int) bool { return k < 1 }) {
		return fmt.Errorf("kernel_shape %v for input %v", kernel, f.Type(0))
	}
	win, err := newWindow(&f.Attrs, len(kernel))
	if err != nil {
		return err
	}
	out := slices.Clone(s[:2])
	for i, k := range kernel {
		out = append(out, win.outDim(i, s[2+i], dim.Of(int64(k)), f.Int("ceil_mode") != 0))
	}
	f.Set(0, out...)
	f.Set(1, out...)
	return nil
}

// NewPoolGeometry resolves the window of a pooling operator over an input of
// shape [N,C,D...] and the spatial output sizes.
func NewPoolGeometry(a *Attrs, x []int) (*Window, []int, error) {
	p, err := newPool(&Eval{Attrs: *a}, x)
	return &p.win, p.out, err
}

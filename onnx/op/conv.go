package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opConv = &Def{
	Name: "Conv",
	Versions: []Version{
		{Since: 1, Schema: `X:T W:T B?:T -> Y:T | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints | T: fp`},
		{Since: 11, Schema: `X:T W:T B?:T -> Y:T | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints | T: fp`},
		{Since: 22, Schema: `X:T W:T B?:T -> Y:T | auto_pad:string="NOTSET" dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints | T: fp bfloat16`},
	},
	Quant: Quant{Kind: QuantInteger, Weight: 1, Bias: 2},
	Infer: inferConv,
	Eval:  evalConv,
}

func inferConv(f *Infer) error {
	x, ok := f.Shape(0)
	w, ok2 := f.Shape(1)
	if !ok && !ok2 {
		return nil
	}
	rank := max(len(x), len(w))
	if rank < 3 || ok && ok2 && len(x) != len(w) {
		return fmt.Errorf("input %v and weight %v", f.Type(0), f.Type(1))
	}
	out := make([]dim.Dim, rank)
	if ok {
		out[0] = x[0]
	}
	if ok2 {
		out[1] = w[0]
	}
	if ok && ok2 && x[1].Conflict(w[1].Mul(dim.Of(int64(f.Int("group"))))) {
		return fmt.Errorf("input %v has not the channels of weight %v in %d groups", f.Type(0), f.Type(1), f.Int("group"))
	}
	kernel := kernelDims(&f.Attrs, w, rank-2)
	if ok2 {
		for i, k := range kernel {
			if k.Conflict(w[2+i]) {
				return fmt.Errorf("kernel_shape %v but weight %v", kernel, f.Type(1))
			}
		}
	}
	if ok && kernel != nil {
		win, err := newWindow(&f.Attrs, rank-2)
		if err != nil {
			return err
		}
		for i := range kernel {
			out[2+i] = win.outDim(i, x[2+i], kernel[i], false)
		}
	}
	f.Set(0, out...)
	return nil
}

// kernelDims is the kernel size from the attribute, else from the weight;
// nil if unknown.
func kernelDims(a *Attrs, w []dim.Dim, spatial int) []dim.Dim {
	if k := a.Ints("kernel_shape"); len(k) == spatial {
		return graph.Dims(k)
	}
	if len(w) == spatial+2 {
		return w[2:]
	}
	return nil
}

func evalConv(e *Eval) error {
	x, w, b := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if x.Rank() < 3 || w.Rank() != x.Rank() {
		return fmt.Errorf("input %v and weight %v", x, w)
	}
	geo, err := NewConvGeometry(&e.Attrs, x.Shape, w.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Float64, geo.out); err != nil {
		return err
	}
	var bias []float64
	if b != nil {
		if b.Len() != geo.out[1] {
			return fmt.Errorf("bias %v for %d channels", b, geo.out[1])
		}
		bias = b.Floats()
	}
	e.Set(0, tensor.FromFloats(x.Type, geo.out, convolve(geo, x.Floats(), w.Floats(), bias)))
	return nil
}

// ConvGeometry is a convolution with every size known: input [N,C,D...],
// weight [M,C/group,K...], output [N,M,O...].
type ConvGeometry struct {
	in, weight, out []int
	group           int
	win             Window
}

func NewConvGeometry(a *Attrs, x, w []int) (ConvGeometry, error) {
	g := ConvGeometry{in: x, weight: w, group: a.Int("group")}
	if g.group < 1 || x[1] != w[1]*g.group || w[0]%g.group != 0 {
		return g, fmt.Errorf("input %v has not the channels of weight %v in %d groups", x, w, g.group)
	}
	if k := a.Ints("kernel_shape"); k != nil && !slices.Equal(k, w[2:]) {
		return g, fmt.Errorf("kernel_shape %v but weight %v", k, w)
	}
	var err error
	if g.win, err = newWindow(a, len(x)-2); err != nil {
		return g, err
	}
	spatial, err := g.win.resolve(x[2:], w[2:], false)
	g.out = append([]int{x[0], w[0]}, spatial...)
	return g, err
}

// number is what convolutions accumulate in.
type number interface{ ~float64 | ~int64 | ~int32 }

// convolve is the direct sum Y[n,m,o] = B[m] + sum_{c,k} X[n,c,o*s-p+k*d] * W[m,c,k].
func convolve[T number](g ConvGeometry, x, w, bias []T) []T {
	total, _ := tensor.Count(g.out)
	y := make([]T, total)
	inPlane, outPlane, taps := volume(g.in[2:]), volume(g.out[2:]), volume(g.weight[2:])
	perGroup, outPerGroup := g.weight[1], g.out[1]/g.group
	g.win.EachTap(g.in[2:], g.out[2:], g.weight[2:], func(o, k, i int) {
		for n := range g.in[0] {
			for m := range g.out[1] {
				first := (n*g.in[1] + m/outPerGroup*perGroup) * inPlane
				sum := T(0)
				for c := range perGroup {
					sum += x[first+c*inPlane+i] * w[(m*perGroup+c)*taps+k]
				}
				y[(n*g.out[1]+m)*outPlane+o] += sum
			}
		}
	})
	if bias != nil {
		for i := range y {
			y[i] += bias[i/outPlane%g.out[1]]
		}
	}
	return y
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Window is the sliding window, with pads resolved.
func (g *ConvGeometry) Window() *Window { return &g.win }

// Out is the shape of the output.
func (g *ConvGeometry) Out() []int { return g.out }

// Group is the number of groups.
func (g *ConvGeometry) Group() int { return g.group }

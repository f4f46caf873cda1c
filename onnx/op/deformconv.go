package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opDeformConv = &Def{
	Name: "DeformConv",
	Versions: []Version{
		{Since: 19, Schema: `X:T W:T offset:T B?:T mask?:T -> Y:T | dilations:ints group:int=1 kernel_shape:ints offset_group:int=1 pads:ints strides:ints | T: fp`},
		{Since: 22, Schema: `X:T W:T offset:T B?:T mask?:T -> Y:T | dilations:ints group:int=1 kernel_shape:ints offset_group:int=1 pads:ints strides:ints | T: fp bfloat16`},
	},
	Infer: inferConv,
	Eval:  evalDeformConv,
}

// evalDeformConv is a convolution whose taps are displaced: tap k of output o
// reads X at o*stride - pad + k*dilation + offset[k,o], interpolated linearly
// with zeros outside, times mask[k,o]. Channels are displaced in groups.
func evalDeformConv(e *Eval) error {
	x, w, offset, bias, mask := e.Tensor(0), e.Tensor(1), e.Tensor(2), e.Tensor(3), e.Tensor(4)
	if x.Rank() < 3 || w.Rank() != x.Rank() {
		return fmt.Errorf("input %v and weight %v", x, w)
	}
	geo, err := NewConvGeometry(&e.Attrs, x.Shape, w.Shape)
	if err != nil {
		return err
	}
	rank, groups := x.Rank()-2, e.Int("offset_group")
	taps, outPlane := volume(w.Shape[2:]), volume(geo.out[2:])
	spatial := geo.out[2:]
	if groups < 1 || x.Shape[1]%groups != 0 ||
		!slices.Equal(offset.Shape, slices.Concat([]int{x.Shape[0], groups * taps * rank}, spatial)) {
		return fmt.Errorf("offset %v in %d groups for output %v", offset, groups, geo.out)
	}
	if mask != nil && !slices.Equal(mask.Shape, slices.Concat([]int{x.Shape[0], groups * taps}, spatial)) {
		return fmt.Errorf("mask %v for output %v", mask, geo.out)
	}
	if bias != nil && bias.Len() != geo.out[1] {
		return fmt.Errorf("bias %v for %d channels", bias, geo.out[1])
	}
	if err := e.Fits(tensor.Float64, slices.Concat(x.Shape[:2], []int{taps}, spatial)); err != nil {
		return err
	}
	columns := deformedColumns(&geo, x, offset, mask, groups)
	in, weight := x.Shape[1], w.Floats()
	b := make([]float64, geo.out[1])
	if bias != nil {
		b = bias.Floats()
	}
	y := make([]float64, volume(geo.out))
	perGroup, outPerGroup := w.Shape[1], geo.out[1]/geo.group
	for i := range y {
		n, m, o := i/outPlane/geo.out[1], i/outPlane%geo.out[1], i%outPlane
		y[i] = b[m]
		for c := range perGroup {
			channel := n*in + m/outPerGroup*perGroup + c
			for k := range taps {
				y[i] += columns[(channel*taps+k)*outPlane+o] * weight[(m*perGroup+c)*taps+k]
			}
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, geo.out, y))
	return nil
}

// deformedColumns is what every tap reads: [batch, channel, tap, output].
func deformedColumns(geo *ConvGeometry, x, offset, mask *tensor.Tensor, groups int) []float64 {
	dims, spatial, kernel := x.Shape[2:], geo.out[2:], geo.weight[2:]
	rank, taps, plane, outPlane := len(dims), volume(kernel), volume(dims), volume(spatial)
	batch, channels := x.Shape[0], x.Shape[1]
	v, off := x.Floats(), offset.Floats()
	var scale []float64
	if mask != nil {
		scale = mask.Floats()
	}
	s := &sampler{dims: dims, strides: tensor.Strides(dims), mode: "linear", padding: "zeros", taps: make([][]weighted, rank)}
	out := make([]float64, batch*channels*taps*outPlane)
	pos, opos, kpos := make([]float64, rank), make([]int, rank), make([]int, rank)
	perGroup := channels / groups
	for i := range batch * groups * taps * outPlane {
		o, k, g, n := i%outPlane, i/outPlane%taps, i/outPlane/taps%groups, i/outPlane/taps/groups
		unravel(o, spatial, opos)
		unravel(k, kernel, kpos)
		for d := range rank {
			at := opos[d]*geo.win.Strides[d] - geo.win.Before[d] + kpos[d]*geo.win.Dilations[d]
			pos[d] = float64(at) + off[(((n*groups+g)*taps+k)*rank+d)*outPlane+o]
		}
		s.locate(pos)
		m := 1.0
		if scale != nil {
			m = scale[((n*groups+g)*taps+k)*outPlane+o]
		}
		for c := range perGroup {
			channel := n*channels + g*perGroup + c
			out[(channel*taps+k)*outPlane+o] = m * s.sum(v[channel*plane:][:plane], 0, 0)
		}
	}
	return out
}

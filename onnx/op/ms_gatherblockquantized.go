package op

import (
	"errors"
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMsGatherBlockQuantized = &Def{
	Name:   "GatherBlockQuantized",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `data:T1 indices:Tind scales:T2 zero_points?:T1 -> output:T2 | bits:int=4 block_size:int=128 gather_axis:int=0 quantize_axis:int=1 | T1: i4 uint8 f8 float4e2m1; T2: float float16 bfloat16; Tind: int32 int64`},
	},
	Infer: inferGatherBlockQuantized,
	Eval:  evalGatherBlockQuantized,
}

// codesPerByte is how many codes of the attribute bits an element of type t holds.
func (a *Attrs) codesPerByte(t tensor.DType) (int, error) {
	if t != tensor.Uint8 {
		return 1, nil
	}
	bits := a.Int("bits")
	if bits != 2 && bits != 4 && bits != 8 {
		return 0, fmt.Errorf("%d bits", bits)
	}
	return 8 / bits, nil
}

func inferGatherBlockQuantized(f *Infer) error {
	s, ok := f.Shape(0)
	idx, ok2 := f.Shape(1)
	if !ok || !ok2 {
		return nil
	}
	g, ok := Axis(f.Int("gather_axis"), len(s))
	per, err := f.codesPerByte(f.Type(0).Elem)
	if !ok || err != nil {
		return fmt.Errorf("gather_axis %d, %d bits of %v", f.Int("gather_axis"), f.Int("bits"), f.Type(0))
	}
	s = slices.Clone(s)
	s[len(s)-1] = s[len(s)-1].Mul(dim.Of(int64(per)))
	f.Set(0, slices.Concat(s[:g], idx, s[g+1:])...)
	return nil
}

// evalGatherBlockQuantized is Gather of (data - zero point) * scale, where each
// block of block_size elements along quantize_axis has a scale and zero point.
// Bytes hold several codes, low bits first, along the last axis, which is that
// of the blocks then; their zero points are stored alike, 2^(bits-1) by default.
func evalGatherBlockQuantized(e *Eval) error {
	x, idx, scales, zeros := e.Tensor(0), e.Tensor(1), e.Tensor(2), e.Tensor(3)
	g, ok := Axis(e.Int("gather_axis"), x.Rank())
	q, ok2 := Axis(e.Int("quantize_axis"), x.Rank())
	per, err := e.codesPerByte(x.Type)
	if !ok || !ok2 || g == q || err != nil || scales.Rank() != x.Rank() || x.Type == tensor.Uint8 && q != x.Rank()-1 {
		return fmt.Errorf("data %v of %d bits, scales %v, gather_axis %d, quantize_axis %d", x, e.Int("bits"), scales, g, q)
	}
	block := e.Int("block_size")
	if block == 0 && x.Type.IsFloat() {
		block = max(x.Shape[q], 1)
	}
	if block < 1 || scales.Shape[q] != (x.Shape[q]*per+block-1)/block {
		return fmt.Errorf("data %v and scales %v in blocks of %d", x, scales, block)
	}
	if x.Type.IsFloat() && zeros != nil {
		return errors.New("zero points beside floating-point data")
	}
	parts := []*tensor.Tensor{x, scales, zeros}
	for i, t := range parts {
		if t == nil {
			continue
		}
		if i == 1 && x.Type.IsFloat() && t.Shape[g] == 1 { // one for all
			ones := slices.Repeat([]int{1}, idx.Rank())
			parts[i] = t.Reshaped(slices.Concat(t.Shape[:g], ones, t.Shape[g+1:])...)
			continue
		}
		if t.Rank() != x.Rank() || t.Shape[g] != x.Shape[g] {
			return fmt.Errorf("data %v, scales %v, zero points %v", x, scales, zeros)
		}
		if parts[i], err = e.gather(t, idx, g); err != nil {
			return err
		}
	}
	if q > g {
		q += idx.Rank() - 1
	}
	return e.dequantizeBlocks(parts[0], parts[1], parts[2], q, block, per)
}

// dequantizeBlocks sets output 0 to (x - zero point) * scale with blocks along
// axis q; an element of x holds so many codes.
func (e *Eval) dequantizeBlocks(x, scales, zeros *tensor.Tensor, q, block, codes int) error {
	shape := slices.Clone(x.Shape)
	shape[len(shape)-1] *= codes
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	blocks := scales.Shape[q]
	rows := scales.Len() / max(blocks, 1)
	zero := func(int, int) float64 { return 0 }
	var code func(i int) float64
	if x.Type == tensor.Uint8 {
		var err error
		if zero, err = nBitsZeros(zeros, rows, blocks, 8/codes); err != nil {
			return err
		}
		b := x.Bytes()
		code = func(i int) float64 { return float64(bitsAt(b, i, 8/codes)) }
	} else {
		v := x.Floats()
		code = func(i int) float64 { return v[i] }
		if zeros != nil {
			if !slices.Equal(zeros.Shape, scales.Shape) {
				return fmt.Errorf("scales %v and zero points %v", scales, zeros)
			}
			z := zeros.Floats()
			zero = func(row, b int) float64 { return z[row*blocks+b] }
		}
	}
	s, pos, out := scales.Floats(), make([]int, len(shape)), make([]float64, volume(shape))
	for i := range out {
		unravel(i, shape, pos)
		pos[q] /= block
		at := 0
		for d, n := range scales.Shape {
			if n == 1 {
				continue
			}
			if n <= pos[d] {
				return fmt.Errorf("scales %v for %v", scales, shape)
			}
			at += pos[d] * tensor.Strides(scales.Shape)[d]
		}
		out[i] = (code(i) - zero(at/max(blocks, 1), at%max(blocks, 1))) * s[at]
	}
	e.Set(0, tensor.FromFloats(scales.Type, shape, out))
	return nil
}

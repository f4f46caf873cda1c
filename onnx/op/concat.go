package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opConcat = &Def{
	Name: "Concat",
	Versions: []Version{
		{Since: 1, Schema: `inputs+:T -> concat_result:T | axis:int | T: fp`},
		{Since: 4, Schema: `inputs+:T -> concat_result:T | axis:int! | T: all`},
		{Since: 11, Schema: `inputs+:T -> concat_result:T | axis:int! | T: all`},
		{Since: 13, Schema: `inputs+:T -> concat_result:T | axis:int! | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantMerge},
	Infer: inferConcat,
	Eval:  evalConcat,
}

// concatAxis had the default 1 in version 1.
func concatAxis(a *Attrs, rank int) (int, error) {
	axis := a.Int("axis")
	if a.Since < 4 && !a.Has("axis") {
		axis = 1
	}
	axis, ok := Axis(axis, rank)
	if !ok {
		return 0, fmt.Errorf("axis %d of rank %d", a.Int("axis"), rank)
	}
	return axis, nil
}

func inferConcat(f *Infer) error {
	var out []dim.Dim
	ranked := true
	for i := range f.In {
		s, ok := f.Shape(i)
		if !ok {
			ranked = false
			continue
		}
		if out == nil {
			out = make([]dim.Dim, len(s))
		}
		if len(s) != len(out) {
			return fmt.Errorf("inputs of rank %d and %d", len(out), len(s))
		}
	}
	if out == nil {
		return nil
	}
	axis, err := concatAxis(&f.Attrs, len(out))
	if err != nil {
		return err
	}
	sum := dim.Of(0)
	for i := range f.In {
		s, ok := f.Shape(i)
		if !ok {
			continue
		}
		for d := range out {
			switch _, constant := s[d].Const(); {
			case d == axis:
				sum = sum.Add(s[d])
			case out[d].Conflict(s[d]):
				return fmt.Errorf("input %d of shape %v differs outside axis %d", i, f.Type(i), axis)
			case !out[d].Known() || constant:
				out[d] = s[d]
			}
		}
	}
	if !ranked {
		sum = dim.Unknown
	}
	out[axis] = sum
	f.Set(0, out...)
	if len(out) == 1 {
		f.SetData(0, concatData(f))
	}
	return nil
}

func concatData(f *Infer) []dim.Dim {
	data := []dim.Dim{}
	for i := range f.In {
		d, ok := f.InData(i)
		if !ok {
			s, ranked := f.Shape(i)
			n := int64(-1)
			if ranked && len(s) == 1 {
				if c, known := s[0].Const(); known && c <= 1024 {
					n = c
				}
			}
			if n < 0 {
				return nil
			}
			d = Unknowns(int(n))
		}
		data = append(data, d...)
	}
	return data
}

func evalConcat(e *Eval) error {
	in := e.Tensors(0)
	axis, err := concatAxis(&e.Attrs, in[0].Rank())
	if err != nil {
		return err
	}
	out, err := concatTensors(e, in, axis)
	e.Set(0, out)
	return err
}

func concatTensors(e *Eval, in []*tensor.Tensor, axis int) (*tensor.Tensor, error) {
	shape := slices.Clone(in[0].Shape)
	shape[axis] = 0
	for _, t := range in {
		if t.Rank() != len(shape) || t.Type != in[0].Type {
			return nil, fmt.Errorf("inputs %v and %v", in[0], t)
		}
		for d := range shape {
			if d != axis && t.Shape[d] != shape[d] {
				return nil, fmt.Errorf("inputs %v and %v differ outside axis %d", in[0], t, axis)
			}
		}
		shape[axis] += t.Shape[axis]
	}
	out, err := e.New(in[0].Type, shape...)
	if err != nil {
		return nil, err
	}
	inner, outer := volume(shape[axis+1:]), volume(shape[:axis])
	at := 0
	for _, t := range in {
		put, run := tensor.Copier(out, t), t.Shape[axis]*inner
		for o := range outer {
			for i := range run {
				put(o*shape[axis]*inner+at+i, o*run+i)
			}
		}
		at += run
	}
	return out, nil
}

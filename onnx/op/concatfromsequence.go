package op

import (
	"errors"
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opConcatFromSequence = &Def{
	Name: "ConcatFromSequence",
	Versions: []Version{
		{Since: 11, Schema: `input_sequence:S -> concat_result:T | axis:int! new_axis:int=0 | S: seq(all); T: all`},
	},
	Check: Exact,
	Infer: inferConcatFromSequence,
	Eval:  evalConcatFromSequence,
}

func inferConcatFromSequence(f *Infer) error {
	of := f.Type(0).Of
	if of == nil {
		return nil
	}
	f.SetElem(0, of.Elem)
	if !of.Ranked {
		return nil
	}
	shape := slices.Clone(of.Shape)
	rank := len(shape)
	if f.Int("new_axis") != 0 {
		rank++
	}
	axis, ok := Axis(f.Int("axis"), rank)
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), rank)
	}
	if rank > len(shape) {
		shape = slices.Insert(shape, axis, dim.Unknown)
	}
	shape[axis] = f.Symbol()
	f.Set(0, shape...)
	return nil
}

func evalConcatFromSequence(e *Eval) error {
	seq := e.Sequence(0)
	if len(seq.Items) == 0 {
		return errors.New("the sequence is empty")
	}
	items := make([]*tensor.Tensor, len(seq.Items))
	for i, v := range seq.Items {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return fmt.Errorf("item %d is %T, want a tensor", i, v)
		}
		items[i] = t
	}
	var out *tensor.Tensor
	var err error
	if e.Int("new_axis") != 0 {
		out, err = stackTensors(e, items, e.Int("axis"))
	} else {
		axis, ok := Axis(e.Int("axis"), items[0].Rank())
		if !ok {
			return fmt.Errorf("axis %d of %v", e.Int("axis"), items[0])
		}
		out, err = concatTensors(e, items, axis)
	}
	e.Set(0, out)
	return err
}

// stackTensors joins tensors of one shape along a new axis.
func stackTensors(e *Eval, in []*tensor.Tensor, axis int) (*tensor.Tensor, error) {
	axis, ok := Axis(axis, in[0].Rank()+1)
	if !ok {
		return nil, fmt.Errorf("axis %d of a stack of %v", axis, in[0])
	}
	rows := make([]*tensor.Tensor, len(in))
	for i, t := range in {
		if t.Rank() != in[0].Rank() {
			return nil, fmt.Errorf("%v stacked on %v", t, in[0])
		}
		rows[i] = t.Reshaped(slices.Insert(slices.Clone(t.Shape), axis, 1)...)
	}
	return concatTensors(e, rows, axis)
}

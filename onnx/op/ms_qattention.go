package op

import (
	"errors"
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMsQAttention = &Def{
	Name:   "QAttention",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `input:T1 weight:T2 bias:T3 input_scale:T3 weight_scale:T3 mask_index?:T4 input_zero_point?:T1 weight_zero_point?:T2 past?:T3 -> output:T3 present?:T3 | do_rotary:int mask_filter_value:float num_heads:int! past_present_share_buffer:int scale:float unidirectional:int=0 | T1: int8 uint8; T2: int8 uint8; T3: float float16; T4: int32`},
	},
	Check: Loose,
	Infer: inferQAttention,
	Eval:  evalQAttention,
}

func inferQAttention(f *Infer) error {
	x, ok := f.Shape(0)
	w, ok2 := f.Shape(1)
	f.SetElem(0, f.Type(2).Elem)
	f.SetElem(1, f.Type(2).Elem)
	if !ok || !ok2 || len(x) != 3 || len(w) != 2 {
		return nil
	}
	size := w[1].FloorDiv(dim.Of(3))
	f.Set(0, x[0], x[1], size)
	f.inferPresent(8, x, size)
	return nil
}

// evalQAttention projects in integers: input_scale * weight_scale *
// (input - zero)(weight - zero) + bias; the rest is Attention. Scale and zero
// point of the weight are per tensor or per column.
func evalQAttention(e *Eval) error {
	x, w, bias := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if e.Int("do_rotary") != 0 || e.Int("past_present_share_buffer") != 0 {
		return errors.New("rotation or a shared past is not supported on CPUs")
	}
	if x.Rank() != 3 || w.Rank() != 2 {
		return fmt.Errorf("input %v and weight %v", x, w)
	}
	q := &Eval{Attrs: e.Attrs, Resolved: e.Resolved, Out: make([]tensor.Value, 1), Env: e.Env}
	if err := q.scaledMatMul(x, w, e.Tensor(3), e.Tensor(4), e.Tensor(6), e.Tensor(7), bias); err != nil {
		return err
	}
	rows := q.Out[0].(*tensor.Tensor)
	return e.attend(rows.Floats(), rows.Shape, bias.Type, e.Tensor(5), e.Tensor(8), nil)
}

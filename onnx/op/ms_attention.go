package op

import (
	"errors"
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMsAttention = &Def{
	Name:   "Attention",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `input:T weights:T bias?:T mask_index?:M past?:T attention_bias?:T past_sequence_length?:M -> output:T present?:T | do_rotary:int mask_filter_value:float num_heads:int! past_present_share_buffer:int qkv_hidden_sizes:ints rotary_embedding_dim:int scale:float unidirectional:int=0 | T: float float16 bfloat16; M: int32`},
	},
	Check: Loose,
	Infer: inferMsAttention,
	Eval:  evalMsAttention,
}

// inferMsAttention: weights are [features, q + k + v sizes].
func inferMsAttention(f *Infer) error {
	x, ok := f.Shape(0)
	w, ok2 := f.Shape(1)
	if !ok || !ok2 || len(x) != 3 || len(w) != 2 {
		return nil
	}
	size := w[1].FloorDiv(dim.Of(3))
	sizes := f.Attrs.Ints("qkv_hidden_sizes")
	if len(sizes) == 3 {
		size = dim.Of(int64(sizes[2]))
	}
	f.Set(0, x[0], x[1], size)
	f.inferPresent(4, x, size)
	return nil
}

// inferPresent is the shape of output 1, [2, batch, heads, total, size], where
// the input of a slot is the past.
func (f *Infer) inferPresent(slot int, x []dim.Dim, size dim.Dim) {
	n := dim.Of(int64(f.Int("num_heads")))
	total := x[1]
	if f.Given(slot) {
		total = dim.Unknown
		if past, ok := f.Shape(slot); ok && len(past) == 5 {
			total = past[3].Add(x[1])
		}
	}
	f.Set(1, dim.Of(2), x[0], n, total, size.FloorDiv(n))
}

// evalMsAttention is input * weights + bias, split into query, key and value.
func evalMsAttention(e *Eval) error {
	x, w := e.Tensor(0), e.Tensor(1)
	if e.Int("do_rotary") != 0 || e.Int("past_present_share_buffer") != 0 || e.Tensor(6) != nil {
		return errors.New("rotation or a shared past is not supported on CPUs")
	}
	if x.Rank() != 3 || w.Rank() != 2 {
		return fmt.Errorf("input %v and weights %v", x, w)
	}
	shape, err := matMulShape(x.Shape, w.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	rows := matMul(x.Shape, w.Shape, x.Floats(), w.Floats())
	if err := scaleShift(shape, rows, nil, e.Tensor(2)); err != nil {
		return err
	}
	return e.attend(rows, shape, x.Type, e.Tensor(3), e.Tensor(4), e.Tensor(5))
}

// attend splits projected rows [batch, seq, q + k + v sizes] into heads, and
// sets the outputs.
func (e *Eval) attend(rows []float64, shape []int, elem tensor.DType, mask, past, bias *tensor.Tensor) error {
	n, width := e.Int("num_heads"), shape[2]
	sizes := e.Attrs.Ints("qkv_hidden_sizes")
	if sizes == nil {
		sizes = []int{width / 3, width / 3, width / 3}
	}
	if len(sizes) != 3 || sizes[0] < 1 || sizes[1] < 1 || sizes[2] < 1 || sizes[0]+sizes[1]+sizes[2] != width {
		return fmt.Errorf("%d columns for hidden sizes %v", width, sizes)
	}
	a := &msAttention{elem: elem}
	first := 0
	for i, h := range []*heads{&a.q, &a.k, &a.v} {
		var err error
		if *h, err = joined(rows, shape[0], shape[1], width, first, sizes[i], n); err != nil {
			return err
		}
		first += sizes[i]
	}
	pastK, pastV, err := splitPast(past)
	if err != nil {
		return err
	}
	if a.k, err = a.k.appendTo(pastK); err != nil {
		return err
	}
	if a.v, err = a.v.appendTo(pastV); err != nil {
		return err
	}
	total := a.k.shape[2]
	if a.mask, err = e.padding(mask, shape[0], shape[1], total, total-shape[1]); err != nil {
		return err
	}
	if a.bias, err = scoreBias(bias, []int{shape[0], n, shape[1], total}); err != nil {
		return err
	}
	if _, err := a.run(e); err != nil {
		return err
	}
	if e.Wants(1) {
		if a.k.shape[3] != a.v.shape[3] {
			return fmt.Errorf("present of heads of size %d and %d", a.k.shape[3], a.v.shape[3])
		}
		present := append(append([]float64{}, a.k.v...), a.v.v...)
		e.Set(1, tensor.FromFloats(elem, append([]int{2}, a.k.shape...), present))
	}
	return nil
}

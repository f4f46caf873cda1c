package op

import (
	"errors"
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMsMultiHeadAttention = &Def{
	Name:   "MultiHeadAttention",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `query:T key?:T value?:T bias?:T key_padding_mask?:M attention_bias?:T past_key?:T past_value?:T past_sequence_length?:M cache_indirection?:M -> output:T present_key?:T present_value?:T qk?:QK | mask_filter_value:float num_heads:int! scale:float unidirectional:int=0 | T: float float16 bfloat16; QK: float float16 bfloat16; M: int32`},
	},
	Check: Loose,
	Infer: inferMultiHeadAttention,
	Eval:  evalMultiHeadAttention,
}

func inferMultiHeadAttention(f *Infer) error {
	f.SetElem(3, f.Type(0).Elem)
	q, ok := f.Shape(0)
	k, ok2 := f.Shape(1)
	v, ok3 := f.Shape(2)
	if !ok || len(q) != 3 || !ok2 || !ok3 {
		return nil
	}
	n := dim.Of(int64(f.Int("num_heads")))
	if len(v) == 4 {
		f.Set(0, q[0], q[1], v[1].Mul(v[3]))
	} else if len(v) == 3 {
		f.Set(0, q[0], q[1], v[2])
	}
	if len(k) != 3 || len(v) != 3 {
		return nil
	}
	total := k[1]
	if f.Given(6) {
		total = dim.Unknown
		if past, ok := f.Shape(6); ok && len(past) == 4 {
			total = past[2].Add(k[1])
		}
	}
	f.Set(1, k[0], n, total, k[2].FloorDiv(n))
	f.Set(2, v[0], n, total, v[2].FloorDiv(n))
	f.Set(3, q[0], n, q[1], total)
	return nil
}

// evalMultiHeadAttention takes query, key and value as [batch, seq, features],
// or key and value as [batch, heads, seq, size]; the bias has one value for
// each feature of the three.
func evalMultiHeadAttention(e *Eval) error {
	q, k, v := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if k == nil || v == nil || q.Rank() != 3 || k.Rank() == 5 {
		return errors.New("packed query, key and value are not supported on CPUs")
	}
	if e.Tensor(8) != nil || e.Tensor(9) != nil {
		return errors.New("a shared past is not supported")
	}
	n := e.Int("num_heads")
	a := &msAttention{elem: q.Type}
	offset := 0
	for i, h := range []*heads{&a.q, &a.k, &a.v} {
		x, err := e.withHeadBias(e.Tensor(i), e.Tensor(3), &offset)
		if err != nil {
			return err
		}
		if *h, err = headsOf(x, n); err != nil {
			return err
		}
	}
	if e.Tensor(3) != nil && offset != e.Tensor(3).Len() {
		return fmt.Errorf("bias %v for %d features", e.Tensor(3), offset)
	}
	var err error
	if a.k, err = a.k.appendTo(e.Tensor(6)); err != nil {
		return err
	}
	if a.v, err = a.v.appendTo(e.Tensor(7)); err != nil {
		return err
	}
	batch, seq, total := a.q.shape[0], a.q.shape[2], a.k.shape[2]
	past := 0
	if t := e.Tensor(6); t != nil {
		past = t.Shape[2]
	}
	if a.mask, err = e.padding(e.Tensor(4), batch, seq, total, past); err != nil {
		return err
	}
	if a.bias, err = scoreBias(e.Tensor(5), []int{batch, n, seq, total}); err != nil {
		return err
	}
	scores, err := a.run(e)
	if err != nil {
		return err
	}
	e.Set(1, tensor.FromFloats(q.Type, a.k.shape, a.k.v))
	e.Set(2, tensor.FromFloats(q.Type, a.v.shape, a.v.v))
	e.Set(3, tensor.FromFloats(q.Type, scores.shape, scores.v))
	return nil
}

// withHeadBias adds the bias of x's features, from offset on, and moves on.
func (e *Eval) withHeadBias(x, bias *tensor.Tensor, offset *int) (*tensor.Tensor, error) {
	if bias == nil || x.Rank() != 3 {
		return x, nil
	}
	size := x.Shape[2]
	b := bias.Floats()
	if *offset+size > len(b) {
		return nil, fmt.Errorf("bias %v", bias)
	}
	v := x.Floats()
	for i := range v {
		v[i] += b[*offset+i%size]
	}
	*offset += size
	return tensor.FromFloats(x.Type, x.Shape, v), nil
}

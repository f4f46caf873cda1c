package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opMsEmbedLayerNormalization = &Def{
	Name:   "EmbedLayerNormalization",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `input_ids:T1 segment_ids?:T1 word_embedding:T position_embedding:T segment_embedding?:T gamma:T beta:T mask?:T1 position_ids?:T1 -> output:T mask_index?:T1 embedding_sum?:T | epsilon:float=1e-12 mask_index_type:int | T1: int32; T: float float16`},
	},
	Infer: inferEmbedLayerNorm,
	Eval:  func(e *Eval) error { return e.embedLayerNorm(e.Tensor(2).Type) },
}

func inferEmbedLayerNorm(f *Infer) error {
	ids, ok := f.Shape(0)
	words, ok2 := f.Shape(2)
	f.SetElem(1, tensor.Int32)
	if !ok || !ok2 || len(ids) != 2 || len(words) != 2 {
		return nil
	}
	f.Set(0, ids[0], ids[1], words[1])
	f.Set(1, ids[0])
	f.Set(2, ids[0], ids[1], words[1])
	return nil
}

// embedLayerNorm sums the embeddings of words, positions and segments and
// normalizes. Output 1 is the number of tokens that the mask shows, 0 without a
// mask; the others have type elem.
func (e *Eval) embedLayerNorm(elem tensor.DType) error {
	ids := e.Tensor(0)
	if ids.Rank() != 2 || e.Tensor(2).Rank() != 2 {
		return fmt.Errorf("input %v of words %v", ids, e.Tensor(2))
	}
	batch, seq, size := ids.Shape[0], ids.Shape[1], e.Tensor(2).Shape[1]
	if err := e.Fits(tensor.Float64, []int{batch, seq, size}); err != nil {
		return err
	}
	positions := make([]int64, batch*seq)
	for i := range positions {
		positions[i] = int64(i % seq)
	}
	if t := e.Tensor(8); t != nil {
		v := t.Ints()
		if len(v) != seq && len(v) != len(positions) {
			return fmt.Errorf("position ids %v", t)
		}
		for i := range positions {
			positions[i] = v[i%len(v)]
		}
	}
	v := make([]float64, batch*seq*size)
	if err := addEmbedding(v, e.Tensor(2), ids.Ints(), size); err != nil {
		return err
	}
	if err := addEmbedding(v, e.Tensor(3), positions, size); err != nil {
		return err
	}
	if t := e.Tensor(1); t != nil {
		if e.Tensor(4) == nil {
			return fmt.Errorf("segments without an embedding")
		}
		if err := addEmbedding(v, e.Tensor(4), t.Ints(), size); err != nil {
			return err
		}
	}
	shape := []int{batch, seq, size}
	e.Set(2, tensor.FromFloats(elem, shape, append([]float64{}, v...)))
	for i := range batch * seq {
		normalize(v[i*size:(i+1)*size], e.Float("epsilon"))
	}
	if err := scaleShift(shape, v, e.Tensor(5), e.Tensor(6)); err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(elem, shape, v))
	shown := make([]int32, batch)
	if t := e.Tensor(7); t != nil {
		if t.Len() != batch*seq {
			return fmt.Errorf("mask %v", t)
		}
		for i, m := range t.Ints() {
			if m == 1 {
				shown[i/seq]++
			}
		}
	}
	e.Set(1, tensor.Vector(shown...))
	return nil
}

// addEmbedding adds row ids[i] of the table to row i of v.
func addEmbedding(v []float64, table *tensor.Tensor, ids []int64, size int) error {
	if table.Rank() != 2 || table.Shape[1] != size || len(ids)*size != len(v) {
		return fmt.Errorf("embedding %v of %d tokens of size %d", table, len(ids), size)
	}
	t := table.Floats()
	for i, id := range ids {
		if id < 0 || int(id) >= table.Shape[0] {
			return fmt.Errorf("index %d of embedding %v", id, table)
		}
		for k := range size {
			v[i*size+k] += t[int(id)*size+k]
		}
	}
	return nil
}

package op

import (
	"errors"
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

// attentionBias is what Attention adds to the score of query i and key j: the
// mask, and -inf for keys that causality, the window or the padding excludes.
type attentionBias struct {
	mask        []float64 // nil: none
	strides     [4]int    // of the mask over batch, head, query, key; 0 broadcasts
	keys        int       // keys that the mask covers; later ones are excluded
	causal      bool
	left, right int   // window around the query's position, -1 is unbounded
	offset      []int // by batch: position of the first query among the keys
	valid       []int // by batch: keys that are no padding; nil: all
}

func newAttentionBias(e *Eval, a *attention) (*attentionBias, error) {
	batch, queries, keys := a.q.shape[0], a.q.shape[2], a.k.shape[2]
	b := &attentionBias{keys: keys, causal: e.Int("is_causal") != 0, left: -1, right: -1, offset: make([]int, batch)}
	if e.Has("left_window_size") {
		b.left, b.right = e.Int("left_window_size"), e.Int("right_window_size")
	}
	past, nonpad := e.Tensor(4), e.Tensor(6)
	switch {
	case (past == nil) != (e.Tensor(5) == nil):
		return nil, errors.New("past_key and past_value go together")
	case past != nil && nonpad != nil:
		return nil, errors.New("past_key excludes nonpad_kv_seqlen")
	case past != nil:
		for i := range b.offset {
			b.offset[i] = past.Shape[2]
		}
	case nonpad != nil:
		var err error
		if b.valid, err = intsOf(nonpad); err != nil {
			return nil, err
		}
		if len(b.valid) != batch {
			return nil, fmt.Errorf("nonpad_kv_seqlen %v for batch %d", nonpad, batch)
		}
		for i, n := range b.valid {
			b.offset[i] = n - queries
		}
	}
	if m := e.Tensor(3); m != nil {
		return b, b.setMask(m, [4]int{batch, a.q.shape[1], queries, keys})
	}
	return b, nil
}

// setMask reads a mask whose shape broadcasts to want. Its last axis does not:
// it may be shorter.
func (b *attentionBias) setMask(m *tensor.Tensor, want [4]int) error {
	rank := m.Rank()
	if rank < 1 || rank > 4 || m.Shape[rank-1] > want[3] {
		return fmt.Errorf("mask %v for scores %v", m, want)
	}
	b.mask, b.keys = m.Floats(), m.Shape[rank-1]
	if m.Type == tensor.Bool {
		for i, allowed := range m.Bools() {
			b.mask[i] = math.Inf(-1)
			if allowed {
				b.mask[i] = 0
			}
		}
	}
	strides := tensor.Strides(m.Shape)
	for i, d := range m.Shape {
		axis := 4 - rank + i
		if axis < 3 && d != 1 && d != want[axis] {
			return fmt.Errorf("mask %v for scores %v", m, want)
		}
		if axis == 3 || d != 1 {
			b.strides[axis] = strides[i]
		}
	}
	return nil
}

// at is the bias of key j for query i of a head.
func (b *attentionBias) at(batch, head, i, j int) float64 {
	p := i + b.offset[batch]
	if b.causal && j > p || b.left >= 0 && j < p-b.left || b.right >= 0 && j > p+b.right ||
		j >= b.keys || b.valid != nil && j >= b.valid[batch] {
		return math.Inf(-1)
	}
	if b.mask == nil {
		return 0
	}
	return b.mask[batch*b.strides[0]+head*b.strides[1]+i*b.strides[2]+j*b.strides[3]]
}

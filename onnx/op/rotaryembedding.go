package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opRotaryEmbedding = &Def{
	Name: "RotaryEmbedding",
	Versions: []Version{
		{Since: 23, Schema: `X:T cos_cache:T sin_cache:T position_ids?:M -> Y:T | interleaved:int=0 num_heads:int rotary_embedding_dim:int=0 | T: bfloat16 float float16; M: int64`},
	},
	Infer: sameShape,
	Eval:  evalRotaryEmbedding,
}

func evalRotaryEmbedding(e *Eval) error {
	return e.rotate(e.Tensor(0), e.Tensor(1), e.Tensor(2), e.Tensor(3), e.Int("num_heads"))
}

// rotate sets output 0 to x, of n heads, turned by the angles of its positions.
func (e *Eval) rotate(x, cos, sin, ids *tensor.Tensor, n int) error {
	h, err := headsOf(x, n)
	if err != nil {
		return err
	}
	y, err := h.rotated(cos, sin, ids, e.Int("rotary_embedding_dim"), e.Int("interleaved") != 0)
	if err != nil {
		return err
	}
	v := y.v
	if x.Rank() == 3 {
		v = swapMiddle(y.shape, v)
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	return nil
}

// rotated turns each pair (a, b) of the first size elements of a head, 0 for all,
// by the angle of its position: (cos*a - sin*b, sin*a + cos*b). Pairs are
// neighbours if interleaved, else element k and element k + size/2.
func (h heads) rotated(cos, sin, ids *tensor.Tensor, size int, interleaved bool) (heads, error) {
	if size == 0 {
		size = h.shape[3]
	}
	if size < 0 || size > h.shape[3] || size%2 != 0 {
		return heads{}, fmt.Errorf("rotation of %d of %d elements", size, h.shape[3])
	}
	half := size / 2
	at, err := angleRows(cos, sin, ids, h.shape[0], h.shape[2], half)
	if err != nil {
		return heads{}, err
	}
	c, s := cos.Floats(), sin.Floats()
	y := heads{h.shape, append([]float64(nil), h.v...)}
	y.eachRow(func(b, n, i int, row []float64) {
		in, angles := h.row(b, n, i), at(b, i)*half
		for k := range half {
			p, q := k, k+half
			if interleaved {
				p, q = 2*k, 2*k+1
			}
			cos, sin := c[angles+k], s[angles+k]
			row[p], row[q] = cos*in[p]-sin*in[q], sin*in[p]+cos*in[q]
		}
	})
	return y, nil
}

// angleRows maps a position to its row in the caches: through position_ids, or
// directly in caches of shape [batch, seq, half].
func angleRows(cos, sin, ids *tensor.Tensor, batch, seq, half int) (func(b, i int) int, error) {
	bad := fmt.Errorf("caches %v and %v for %d angles", cos, sin, half)
	rank := 3
	if ids != nil {
		rank = 2
	}
	if cos.Rank() != rank || cos.Shape[rank-1] != half || sin.Rank() != rank || sin.Len() != cos.Len() || sin.Shape[rank-1] != half {
		return nil, bad
	}
	if ids == nil {
		if cos.Shape[0] != batch || cos.Shape[1] != seq {
			return nil, bad
		}
		return func(b, i int) int { return b*seq + i }, nil
	}
	rows := ids.Ints()
	if len(rows) != batch*seq {
		return nil, fmt.Errorf("position_ids %v for batch %d, sequence %d", ids, batch, seq)
	}
	if err := wrapIndices(rows, cos.Shape[0]); err != nil {
		return nil, err
	}
	return func(b, i int) int { return int(rows[b*seq+i]) }, nil
}

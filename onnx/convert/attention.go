package convert

import (
	"errors"
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// attentionParts is the operands of an Attention that is written out, all
// [batch, heads, sequence, size].
type attentionParts struct {
	*step
	n       *graph.Node
	elem    tensor.DType
	flat    bool      // inputs and output are [batch, sequence, heads*size]
	q, k, v []dim.Dim // sizes, those of keys and values with the past
	past    int64     // keys before the first query, where it is known
}

// attention is softmax(Q K^T * scale + bias) V.
func attention(s *step, n *graph.Node) error {
	a := &attentionParts{step: s, n: n, elem: s.info.Type(n.In(0)).Elem}
	if used(n, 3) {
		return errors.New("the scores are an output")
	}
	if !a.elem.IsFloat() || s.info.Type(n.In(2)).Elem != a.elem {
		return fmt.Errorf("element types %v and %v of %s and %s", a.elem, s.info.Type(n.In(2)).Elem, n.In(0), n.In(2))
	}
	q, k, v, err := a.operands()
	if err != nil {
		return err
	}
	presentK, presentV := k, v
	if k, v, err = a.shareHeads(k, v); err != nil {
		return err
	}
	scores, err := a.scores(q, k)
	if err != nil {
		return err
	}
	p, err := a.probabilities(scores)
	if err != nil {
		return err
	}
	y := s.add(n, "MatMul", values{p, v})
	if a.flat {
		y = s.reshape(n, s.transposed(n, y, 0, 2, 1, 3), 0, 0, -1)
	}
	if !used(n, 1) {
		presentK = nil
	}
	if !used(n, 2) {
		presentV = nil
	}
	return s.replace(n, y, presentK, presentV)
}

func (s *step) transposed(n *graph.Node, v *graph.Value, perm ...int64) *graph.Value {
	return s.add(n, "Transpose", values{v}, graph.Ints("perm", perm...))
}

// operands is queries, and keys and values behind those of the past.
func (a *attentionParts) operands() (q, k, v *graph.Value, err error) {
	n := a.n
	out, sizes := [3]*graph.Value{}, [3][]dim.Dim{}
	for i := range out {
		x := n.In(i)
		shape, err := a.shape(x)
		if err != nil {
			return nil, nil, nil, err
		}
		if a.flat = len(shape) == 3; a.flat {
			heads := a.int(n, "kv_num_heads", 0)
			if i == 0 {
				heads = a.int(n, "q_num_heads", 0)
			}
			if heads < 1 {
				return nil, nil, nil, errors.New("the number of heads is missing")
			}
			h := dim.Of(heads)
			x = a.transposed(n, a.reshape(n, x, 0, 0, heads, -1), 0, 2, 1, 3)
			shape = []dim.Dim{shape[0], h, shape[1], shape[2].FloorDiv(h)}
		} else if len(shape) != 4 {
			return nil, nil, nil, fmt.Errorf("an input of rank %d", len(shape))
		}
		if past := n.In(3 + i); i > 0 && past != nil {
			before, err := a.shape(past)
			if err != nil || len(before) != 4 {
				return nil, nil, nil, fmt.Errorf("the past %s is of unknown rank", past)
			}
			x = a.add(n, "Concat", values{past, x}, graph.Int("axis", 2))
			shape = []dim.Dim{shape[0], shape[1], before[2].Add(shape[2]), shape[3]}
			a.past, _ = before[2].Const()
		}
		out[i], sizes[i] = x, shape
	}
	a.q, a.k, a.v = sizes[0], sizes[1], sizes[2]
	return out[0], out[1], out[2], nil
}

// shareHeads repeats heads of keys and values for the query heads that read them.
func (a *attentionParts) shareHeads(k, v *graph.Value) (*graph.Value, *graph.Value, error) {
	heads, ok := a.q[1].Const()
	kv, ok2 := a.k[1].Const()
	if !ok || !ok2 || kv < 1 || heads%kv != 0 {
		return nil, nil, fmt.Errorf("%v heads of queries, %v of keys", a.q[1], a.k[1])
	}
	if heads == kv {
		return k, v, nil
	}
	from := make([]int64, heads)
	for i := range from {
		from[i] = int64(i) / (heads / kv)
	}
	index := a.ints(a.n, "heads", from...)
	over := graph.Int("axis", 1)
	return a.add(a.n, "Gather", values{k, index}, over), a.add(a.n, "Gather", values{v, index}, over.Clone()), nil
}

// scores is Q K^T, each factor scaled by the root, and capped.
func (a *attentionParts) scores(q, k *graph.Value) (*graph.Value, error) {
	n := a.n
	scale := float64(a.float(n, "scale", 0))
	if n.Attr("scale") == nil {
		size, ok := a.q[3].Const()
		if !ok || size < 1 {
			return nil, fmt.Errorf("heads of size %v without a scale", a.q[3])
		}
		scale = 1 / math.Sqrt(float64(size))
	}
	root := a.constant(n, "scale", tensor.FromFloats(a.elem, nil, []float64{math.Sqrt(scale)}))
	q, k = a.add(n, "Mul", values{q, root}), a.add(n, "Mul", values{k, root})
	s := a.add(n, "MatMul", values{q, a.transposed(n, k, 0, 1, 3, 2)})
	if top := a.float(n, "softcap", 0); top > 0 {
		c := a.constant(n, "softcap", tensor.FromFloats(a.elem, nil, []float64{float64(top)}))
		s = a.add(n, "Mul", values{a.add(n, "Tanh", values{a.add(n, "Div", values{s, c})}), c})
	}
	return s, nil
}

// probabilities is the softmax of scores and bias; rows that the mask excludes
// are zero.
func (a *attentionParts) probabilities(s *graph.Value) (*graph.Value, error) {
	n := a.n
	bias, err := a.bias()
	if err != nil {
		return nil, err
	}
	if bias != nil {
		s = a.add(n, "Add", values{s, bias})
	}
	soft := tensor.DType(a.int(n, "softmax_precision", int64(a.elem)))
	if soft != a.elem {
		s = a.cast(n, s, soft)
	}
	p := a.add(n, "Softmax", values{s}, graph.Int("axis", -1))
	if soft != a.elem {
		p = a.cast(n, p, a.elem)
	}
	if n.In(3) == nil { // a query reads at least its own key
		return p, nil
	}
	most := a.add(n, "ReduceMax", values{bias, a.ints(n, "axes", -1)})
	none := a.add(n, "Equal", values{most, a.constant(n, "none", a.number(math.Inf(-1)))})
	return a.add(n, "Where", values{none, a.constant(n, "zero", a.number(0)), p}), nil
}

func (a *attentionParts) number(x float64) *tensor.Tensor {
	return tensor.FromFloats(a.elem, nil, []float64{x})
}

// bias is the mask and what causality excludes; nil without either.
func (a *attentionParts) bias() (*graph.Value, error) {
	n := a.n
	var mask *graph.Value
	if m := n.In(3); m != nil {
		shape, err := a.shape(m)
		if err != nil {
			return nil, err
		}
		if len(shape) < 1 || !shape[len(shape)-1].Equal(a.k[2]) {
			return nil, fmt.Errorf("a mask %v of %v keys", a.info.Type(m), a.k[2])
		}
		switch t := a.info.Type(m).Elem; {
		case t == a.elem:
			mask = m
		case t == tensor.Bool:
			mask = a.add(n, "Where", values{m, a.constant(n, "shown", a.number(0)), a.constant(n, "hidden", a.number(math.Inf(-1)))})
		default:
			mask = a.cast(n, m, a.elem)
		}
	}
	if a.int(n, "is_causal", 0) == 0 {
		return mask, nil
	}
	queries, ok := a.q[2].Const()
	keys, ok2 := a.k[2].Const()
	if !ok || !ok2 || queries*keys > maxFolded {
		return nil, fmt.Errorf("is_causal with %v queries and %v keys", a.q[2], a.k[2])
	}
	later := make([]float64, queries*keys)
	for i := range later {
		if q, k := int64(i)/keys, int64(i)%keys; k > q+a.past {
			later[i] = math.Inf(-1)
		}
	}
	causal := a.constant(n, "causal", tensor.FromFloats(a.elem, []int{int(queries), int(keys)}, later))
	if mask == nil {
		return causal, nil
	}
	return a.add(n, "Add", values{mask, causal}), nil
}

// rotaryEmbedding turns pairs (x, y) of a head's first elements by the angles of
// their position: (cos*x - sin*y, sin*x + cos*y).
func rotaryEmbedding(s *step, n *graph.Node) error {
	x := n.In(0)
	shape, err := s.shape(x)
	if err != nil {
		return err
	}
	last := dim.Unknown
	if len(shape) > 0 {
		last = shape[len(shape)-1]
	}
	flat, headAxis := len(shape) == 3, int64(1)
	if flat {
		heads := s.int(n, "num_heads", 0)
		if heads < 1 {
			return errors.New("num_heads is missing")
		}
		last, headAxis = last.FloorDiv(dim.Of(heads)), 2
		x = s.reshape(n, x, 0, 0, heads, -1)
	}
	size, ok := last.Const()
	if !ok || len(shape) != 3 && len(shape) != 4 {
		return fmt.Errorf("an input of type %v, heads of size %v", s.info.Type(n.In(0)), last)
	}
	turned := s.int(n, "rotary_embedding_dim", 0)
	if turned == 0 {
		turned = size
	}
	part := func(v *graph.Value, from, to, by int64) *graph.Value {
		return s.add(n, "Slice", values{v, s.ints(n, "starts", from), s.ints(n, "ends", to), s.ints(n, "axes", -1), s.ints(n, "steps", by)})
	}
	interleaved := s.int(n, "interleaved", 0) != 0
	a, b := part(x, 0, turned/2, 1), part(x, turned/2, turned, 1)
	if interleaved {
		a, b = part(x, 0, turned, 2), part(x, 1, turned, 2)
	}
	angle := func(i int) *graph.Value {
		v := n.In(i)
		if n.In(3) != nil {
			v = s.add(n, "Gather", values{v, n.In(3)}, graph.Int("axis", 0))
		}
		return s.add(n, "Unsqueeze", values{v, s.ints(n, "axes", headAxis)})
	}
	cos, sin := angle(1), angle(2)
	mul := func(v, w *graph.Value) *graph.Value { return s.add(n, "Mul", values{v, w}) }
	first := s.add(n, "Sub", values{mul(cos, a), mul(sin, b)})
	second := s.add(n, "Add", values{mul(sin, a), mul(cos, b)})
	axis := graph.Int("axis", -1)
	var y *graph.Value
	if interleaved {
		one := s.ints(n, "axes", -1)
		pairs := s.add(n, "Concat", values{s.add(n, "Unsqueeze", values{first, one}), s.add(n, "Unsqueeze", values{second, one})}, axis)
		y = s.reshape(n, pairs, 0, 0, 0, turned)
	} else {
		y = s.add(n, "Concat", values{first, second}, axis)
	}
	if turned < size {
		y = s.add(n, "Concat", values{y, part(x, turned, size, 1)}, axis.Clone())
	}
	if flat {
		y = s.reshape(n, y, 0, 0, -1)
	}
	return s.replace(n, y)
}

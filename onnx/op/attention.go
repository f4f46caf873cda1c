package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opAttention = &Def{
	Name: "Attention",
	Versions: []Version{
		{Since: 23, Schema: `Q:T1 K:T1 V:T2 attn_mask?:U past_key?:T1 past_value?:T2 -> Y:T1 present_key?:T1 present_value?:T2 qk_matmul_output?:T1 | is_causal:int=0 kv_num_heads:int q_num_heads:int qk_matmul_output_mode:int=0 scale:float softcap:float=0 softmax_precision:int | T1: fp bfloat16; T2: fp bfloat16; U: num bfloat16 bool`},
		{Since: 24, Schema: `Q:T1 K:T1 V:T2 attn_mask?:U past_key?:T1 past_value?:T2 nonpad_kv_seqlen?:int64 -> Y:T1 present_key?:T1 present_value?:T2 qk_matmul_output?:T1 | is_causal:int=0 kv_num_heads:int q_num_heads:int qk_matmul_output_mode:int=0 scale:float softcap:float=0 softmax_precision:int | T1: fp bfloat16; T2: fp bfloat16; U: num bfloat16 bool`},
		{Since: 25, Schema: `Q:T1 K:T1 V:T2 attn_mask?:U past_key?:T1 past_value?:T2 nonpad_kv_seqlen?:int64 -> Y:T1 present_key?:T1 present_value?:T2 qk_matmul_output?:T1 | is_causal:int=0 kv_num_heads:int left_window_size:int=-1 q_num_heads:int qk_matmul_output_mode:int=0 right_window_size:int=-1 scale:float softcap:float=0 softmax_precision:int | T1: fp bfloat16; T2: fp bfloat16; U: num bfloat16 bool`},
	},
	Check: Loose,
	Infer: inferAttention,
	Eval:  evalAttention,
}

// inferAttention takes [batch, sequence, heads*size] or [batch, heads,
// sequence, size]; the caches and scores have always the second form.
func inferAttention(f *Infer) error {
	q, okQ := f.Shape(0)
	k, okK := f.Shape(1)
	v, okV := f.Shape(2)
	if !okQ || !okK || !okV {
		return nil
	}
	rank := len(q)
	if rank != 3 && rank != 4 || len(k) != rank || len(v) != rank {
		return fmt.Errorf("query %v, key %v, value %v", f.Type(0), f.Type(1), f.Type(2))
	}
	if rank == 3 {
		qHeads, kvHeads := f.Int("q_num_heads"), f.Int("kv_num_heads")
		if qHeads < 1 || kvHeads < 1 {
			return errors.New("inputs of rank 3 need q_num_heads and kv_num_heads")
		}
		q, k, v = splitHeadDims(q, qHeads), splitHeadDims(k, kvHeads), splitHeadDims(v, kvHeads)
		f.Set(0, q[0], q[2], q[1].Mul(v[3]))
	} else {
		f.Set(0, q[0], q[1], q[2], v[3])
	}
	total := k[2]
	if f.Given(4) {
		total = dim.Unknown
		if past, ok := f.Shape(4); ok && len(past) == 4 {
			total = past[2].Add(k[2])
		}
	}
	f.Set(1, k[0], k[1], total, k[3])
	f.Set(2, v[0], v[1], total, v[3])
	f.Set(3, q[0], q[1], q[2], total)
	return nil
}

func splitHeadDims(s []dim.Dim, heads int) []dim.Dim {
	h := dim.Of(int64(heads))
	return []dim.Dim{s[0], h, s[1], s[2].FloorDiv(h)}
}

// heads is an array [batch, heads, seq, size].
type heads struct {
	shape []int
	v     []float64
}

// row is the vector of one head at one position.
func (h *heads) row(batch, head, pos int) []float64 {
	at := ((batch*h.shape[1]+head)*h.shape[2] + pos) * h.shape[3]
	return h.v[at : at+h.shape[3]]
}

// headsOf reads x of shape [batch, heads, seq, size] or [batch, seq, n*size].
func headsOf(x *tensor.Tensor, n int) (heads, error) {
	if x.Rank() == 4 {
		return heads{x.Shape, x.Floats()}, nil
	}
	if x.Rank() != 3 || n < 1 || x.Shape[2]%n != 0 {
		return heads{}, fmt.Errorf("%v of %d heads", x, n)
	}
	shape := []int{x.Shape[0], x.Shape[1], n, x.Shape[2] / n}
	return heads{[]int{shape[0], n, shape[1], shape[3]}, swapMiddle(shape, x.Floats())}, nil
}

// swapMiddle transposes axes 1 and 2 of an array of rank 4.
func swapMiddle(shape []int, v []float64) []float64 {
	out := make([]float64, len(v))
	a, b, c := shape[1], shape[2], shape[3]
	for i := range volume(shape[:3]) {
		to := i/(a*b)*a*b + i%b*a + i/b%a
		copy(out[to*c:to*c+c], v[i*c:i*c+c])
	}
	return out
}

// appendTo is the past positions followed by those of h.
func (h heads) appendTo(past *tensor.Tensor) (heads, error) {
	if past == nil {
		return h, nil
	}
	want := slices.Clone(h.shape)
	if past.Rank() == 4 {
		want[2] = past.Shape[2]
	}
	if !slices.Equal(past.Shape, want) {
		return h, fmt.Errorf("past %v, want shape %v", past, want)
	}
	old, out := heads{past.Shape, past.Floats()}, []float64{}
	oldBlock, block := want[2]*want[3], h.shape[2]*h.shape[3]
	for i := range want[0] * want[1] {
		out = append(out, old.v[i*oldBlock:(i+1)*oldBlock]...)
		out = append(out, h.v[i*block:(i+1)*block]...)
	}
	return heads{[]int{want[0], want[1], want[2] + h.shape[2], want[3]}, out}, nil
}

// attention is softmax(Q K^T * scale + bias) V, head by head: the arguments of
// one evaluation.
type attention struct {
	q, k, v heads
	elem    tensor.DType // of the result and of intermediates
	soft    tensor.DType // of the softmax
	scale   float64
	softcap float64
	bias    *attentionBias
}

func evalAttention(e *Eval) error {
	a, err := newAttention(e)
	if err != nil {
		return err
	}
	if a.k, err = a.k.appendTo(e.Tensor(4)); err != nil {
		return err
	}
	if a.v, err = a.v.appendTo(e.Tensor(5)); err != nil {
		return err
	}
	if err := a.check(e); err != nil {
		return err
	}
	a.softcap = e.Float("softcap")
	if a.bias, err = newAttentionBias(e, a); err != nil {
		return err
	}
	scores := a.scores()
	mode := e.Int("qk_matmul_output_mode")
	keep := func(m int) {
		if m == mode && e.Wants(3) {
			e.Set(3, tensor.FromFloats(a.elem, scores.shape, scores.v))
		}
	}
	keep(0)
	a.capScores(scores.v)
	keep(1)
	masked := a.addBias(scores)
	keep(2)
	a.softmax(scores, masked)
	keep(3)
	tensor.RoundFloats(a.elem, scores.v)
	a.setOutput(e, scores)
	e.Set(1, tensor.FromFloats(e.Tensor(1).Type, a.k.shape, a.k.v))
	e.Set(2, tensor.FromFloats(e.Tensor(2).Type, a.v.shape, a.v.v))
	return nil
}

// newAttention reads query, key, value and scale.
func newAttention(e *Eval) (*attention, error) {
	a := &attention{elem: e.Tensor(0).Type, soft: e.Tensor(0).Type}
	var err error
	for i, h := range []*heads{&a.q, &a.k, &a.v} {
		n := e.Int("kv_num_heads")
		if i == 0 {
			n = e.Int("q_num_heads")
		}
		if e.Tensor(i).Rank() != e.Tensor(0).Rank() {
			return nil, fmt.Errorf("query %v, key %v, value %v", e.Tensor(0), e.Tensor(1), e.Tensor(2))
		}
		if *h, err = headsOf(e.Tensor(i), n); err != nil {
			return nil, err
		}
	}
	if e.Has("softmax_precision") {
		if a.soft, err = e.elemType("softmax_precision"); err != nil {
			return nil, err
		}
		if !a.soft.IsFloat() || a.soft.Bits() < 16 {
			return nil, fmt.Errorf("softmax_precision %v", a.soft)
		}
	}
	a.scale = 1 / math.Sqrt(float64(a.q.shape[3]))
	if e.Has("scale") {
		a.scale = e.Float("scale")
	}
	return a, nil
}

// check compares the shapes once the past is in.
func (a *attention) check(e *Eval) error {
	q, k, v := a.q.shape, a.k.shape, a.v.shape
	if q[0] != k[0] || q[0] != v[0] || k[1] != v[1] || k[2] != v[2] || q[3] != k[3] || k[1] == 0 || q[1]%k[1] != 0 {
		return fmt.Errorf("query %v, key %v, value %v", q, k, v)
	}
	return e.Fits(tensor.Float64, []int{q[0], q[1], q[2], k[2]})
}

// scores is (sqrt(scale) Q) (sqrt(scale) K)^T with the roundings of the
// standard's function body. Query head h reads key head h / (heads of Q / heads
// of K).
func (a *attention) scores() heads {
	factor := []float64{math.Sqrt(a.scale)}
	tensor.RoundFloats(a.elem, factor)
	scaled := func(h heads) heads {
		v := make([]float64, len(h.v))
		for i, x := range h.v {
			v[i] = x * factor[0]
		}
		tensor.RoundFloats(a.elem, v)
		return heads{h.shape, v}
	}
	q, k := scaled(a.q), scaled(a.k)
	s := heads{shape: []int{q.shape[0], q.shape[1], q.shape[2], k.shape[2]}}
	s.v = make([]float64, volume(s.shape))
	group := q.shape[1] / k.shape[1]
	s.eachRow(func(b, h, i int, row []float64) {
		x := q.row(b, h, i)
		for j := range row {
			row[j] = dot(x, k.row(b, h/group, j))
		}
	})
	tensor.RoundFloats(a.elem, s.v)
	return s
}

// eachRow visits the rows of every head.
func (h *heads) eachRow(f func(batch, head, pos int, row []float64)) {
	for b := range h.shape[0] {
		for n := range h.shape[1] {
			for i := range h.shape[2] {
				f(b, n, i, h.row(b, n, i))
			}
		}
	}
}

// capScores is softcap * tanh(s / softcap).
func (a *attention) capScores(s []float64) {
	if a.softcap <= 0 {
		return
	}
	for _, f := range []func(float64) float64{
		func(x float64) float64 { return x / a.softcap },
		math.Tanh,
		func(x float64) float64 { return x * a.softcap },
	} {
		for i, x := range s {
			s[i] = f(x)
		}
		tensor.RoundFloats(a.elem, s)
	}
}

// addBias adds the bias and reports the rows in which it allows no key.
func (a *attention) addBias(s heads) (masked []bool) {
	s.eachRow(func(b, h, i int, row []float64) {
		none := true
		for j := range row {
			v := a.bias.at(b, h, i, j)
			row[j] += v
			none = none && math.IsInf(v, -1)
		}
		masked = append(masked, none)
	})
	tensor.RoundFloats(a.elem, s.v)
	return masked
}

// softmax normalizes each row, rounding as its function body does: the
// exponentials, their sum and the quotients. Masked rows become zero.
func (a *attention) softmax(s heads, masked []bool) {
	tensor.RoundFloats(a.soft, s.v)
	r := 0
	s.eachRow(func(_, _, _ int, row []float64) {
		if masked != nil && masked[r] {
			clear(row)
		} else {
			softmaxRounded(a.soft, row)
		}
		r++
	})
}

// softmaxRounded is the softmax of v in type t.
func softmaxRounded(t tensor.DType, v []float64) {
	top := maxFloats(v)
	for i := range v {
		v[i] -= top
	}
	tensor.RoundFloats(t, v)
	for i := range v {
		v[i] = math.Exp(v[i])
	}
	tensor.RoundFloats(t, v)
	sum := []float64{sumFloats(v)}
	tensor.RoundFloats(t, sum)
	for i := range v {
		v[i] /= sum[0]
	}
	tensor.RoundFloats(t, v)
}

// setOutput is probabilities times V, in the layout of the query.
func (a *attention) setOutput(e *Eval, p heads) {
	group := p.shape[1] / a.v.shape[1]
	y := heads{shape: []int{p.shape[0], p.shape[1], p.shape[2], a.v.shape[3]}}
	y.v = make([]float64, volume(y.shape))
	y.eachRow(func(b, h, i int, row []float64) {
		for j, w := range p.row(b, h, i) {
			for c, x := range a.v.row(b, h/group, j) {
				row[c] += w * x
			}
		}
	})
	shape, v := y.shape, y.v
	if e.Tensor(0).Rank() == 3 {
		v = swapMiddle(shape, v)
		shape = []int{shape[0], shape[2], shape[1] * shape[3]}
	}
	e.Set(0, tensor.FromFloats(a.elem, shape, v))
}

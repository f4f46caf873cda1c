package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMsGroupQueryAttention = &Def{
	Name:   "GroupQueryAttention",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `query:T key?:T value?:T past_key?:T_CACHE past_value?:T_CACHE seqlens_k:M total_sequence_length:M cos_cache?:T sin_cache?:T position_ids?:int64 attention_bias?:T head_sink?:T k_scale?:T_KV_SCALE v_scale?:T_KV_SCALE q_norm_weight?:T k_norm_weight?:T query_seqlens?:M -> output:T present_key?:T_CACHE present_value?:T_CACHE output_qk?:T | causal:int=1 do_rotary:int k_norm_epsilon:float k_quant_type:string="NONE" kv_cache_bit_width:int kv_num_heads:int! local_window_size:int=-1 num_heads:int! q_norm_epsilon:float qk_norm_epsilon:float=1e-06 qk_output:int=0 rotary_interleaved:int scale:float sliding_window_cache:int=0 smooth_softmax:int=-1 softcap:float v_quant_type:string="NONE" | T: float16 bfloat16 float; T_CACHE: float float16 bfloat16 uint8 int8 float8e4m3fn; T_KV_SCALE: float; M: int32`},
	},
	Check: Loose,
	Infer: inferGroupQueryAttention,
	Eval:  evalGroupQueryAttention,
}

// inferGroupQueryAttention: without key and value, the query has all three.
func inferGroupQueryAttention(f *Infer) error {
	q, ok := f.Shape(0)
	n, kv := f.Int("num_heads"), f.Int("kv_num_heads")
	if !ok || len(q) != 3 || n < 1 || kv < 1 {
		return nil
	}
	width := q[2]
	size := width.FloorDiv(dim.Of(int64(n)))
	if !f.Given(1) {
		size = width.FloorDiv(dim.Of(int64(n + 2*kv)))
		width = size.Mul(dim.Of(int64(n)))
	}
	f.Set(0, q[0], q[1], width)
	total := dim.Unknown
	if d, ok := f.InData(6); ok && len(d) == 1 {
		longest, known := d[0].Const()
		if past, ok := f.Shape(3); !f.Given(3) {
			total = d[0]
		} else if ok && len(past) == 4 && known {
			if capacity, ok := past[2].Const(); ok {
				total = dim.Of(max(longest, capacity))
			}
		}
	}
	for i := 1; i <= 2; i++ {
		f.SetElem(i, f.Type(0).Elem)
		if t := f.Type(2 + i); t.Known() {
			f.SetElem(i, t.Elem)
		}
		f.Set(i, q[0], dim.Of(int64(kv)), total, size)
	}
	return nil
}

// evalGroupQueryAttention is causal attention whose query heads share heads of
// keys and values. Sequence b has seqlens_k[b] + 1 keys, the last of which are
// those of this call; what lies behind them in the cache is zero.
func evalGroupQueryAttention(e *Eval) error {
	for i, what := range map[int]string{12: "a quantized cache", 14: "normalized queries", 15: "normalized keys", 16: "query lengths"} {
		if e.Value(i) != nil {
			return fmt.Errorf("%s: not supported", what)
		}
	}
	if e.Wants(3) || e.Int("causal") == 0 || e.Int("sliding_window_cache") != 0 || e.Str("k_quant_type") != "NONE" || e.Str("v_quant_type") != "NONE" {
		return errors.New("scores, attention to later keys, a quantized or sliding cache: not supported")
	}
	a, err := e.groupedHeads()
	if err != nil {
		return err
	}
	if e.Int("do_rotary") != 0 {
		if err := a.rotate(e); err != nil {
			return err
		}
	}
	if err := a.cache(e); err != nil {
		return err
	}
	return a.attend(e)
}

// groupedAttention is the arguments of one evaluation.
type groupedAttention struct {
	q, k, v heads
	past    []int // keys before this call, by sequence
	total   []int // all keys, by sequence
}

func (e *Eval) groupedHeads() (*groupedAttention, error) {
	q, k, v := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	n, kv := e.Int("num_heads"), e.Int("kv_num_heads")
	if q.Rank() != 3 || n < 1 || kv < 1 || n%kv != 0 || (k == nil) != (v == nil) {
		return nil, fmt.Errorf("query %v of %d heads, %d of keys", q, n, kv)
	}
	a := &groupedAttention{}
	var err error
	if k == nil {
		width, rows := q.Shape[2], q.Floats()
		size := width / (n + 2*kv)
		first := 0
		for i, h := range []*heads{&a.q, &a.k, &a.v} {
			count := []int{n, kv, kv}[i]
			if *h, err = joined(rows, q.Shape[0], q.Shape[1], width, first*size, count*size, count); err != nil {
				return nil, err
			}
			first += count
		}
	} else {
		for i, h := range []*heads{&a.q, &a.k, &a.v} {
			if *h, err = headsOf(e.Tensor(i), []int{n, kv, kv}[i]); err != nil {
				return nil, err
			}
		}
	}
	if !slices.Equal(a.k.shape, a.v.shape) || !slices.Equal(a.k.shape, []int{a.q.shape[0], kv, a.q.shape[2], a.q.shape[3]}) {
		return nil, fmt.Errorf("query %v, key %v, value %v", a.q.shape, a.k.shape, a.v.shape)
	}
	return a, a.lengths(e)
}

// lengths reads how many keys each sequence has. A call with as many tokens as
// total_sequence_length is a prompt: it has no past.
func (a *groupedAttention) lengths(e *Eval) error {
	batch, seq := a.q.shape[0], a.q.shape[2]
	lens, longest := e.Tensor(5).Ints(), e.Tensor(6).Ints()
	if len(lens) != batch || len(longest) != 1 {
		return fmt.Errorf("seqlens_k %v of a batch of %d, total_sequence_length %v", e.Tensor(5), batch, e.Tensor(6))
	}
	for _, n := range lens {
		total, past := int(n)+1, 0
		if seq != int(longest[0]) {
			past = total - seq
		}
		if n < 0 || total > int(longest[0]) || past < 0 {
			return fmt.Errorf("%d keys for %d tokens of a longest sequence of %d", total, seq, longest[0])
		}
		a.past, a.total = append(a.past, past), append(a.total, total)
	}
	return nil
}

// rotate turns queries and keys by the angles of their positions; tokens behind
// the end of a prompt have position 1.
func (a *groupedAttention) rotate(e *Eval) error {
	cos, sin, ids := e.Tensor(7), e.Tensor(8), e.Tensor(9)
	if cos == nil || sin == nil || cos.Rank() != 2 {
		return fmt.Errorf("rotation without caches: %v, %v", cos, sin)
	}
	batch, seq := a.q.shape[0], a.q.shape[2]
	if ids == nil {
		at := make([]int64, batch*seq)
		for i := range at {
			if p := a.past[i/seq] + i%seq; p < a.total[i/seq] {
				at[i] = int64(p)
			} else {
				at[i] = 1
			}
		}
		ids = tensor.Of([]int{batch, seq}, at)
	}
	var err error
	for _, h := range []*heads{&a.q, &a.k} {
		if *h, err = h.rotated(cos, sin, ids, 2*cos.Shape[1], e.Int("rotary_interleaved") != 0); err != nil {
			return err
		}
	}
	return nil
}

// cache puts keys and values behind those of the past, and sets outputs 1 and 2.
func (a *groupedAttention) cache(e *Eval) error {
	seq, size := a.k.shape[2], a.k.shape[3]
	capacity := int(e.Tensor(6).Ints()[0])
	if t := e.Tensor(3); t != nil && t.Rank() == 4 {
		capacity = max(capacity, t.Shape[2])
	}
	shape := []int{a.k.shape[0], a.k.shape[1], capacity, size}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	for i, h := range []*heads{&a.k, &a.v} {
		all := heads{shape, make([]float64, volume(shape))}
		var past heads
		if t := e.Tensor(3 + i); t != nil {
			if t.Type != e.Tensor(0).Type || t.Rank() != 4 || !slices.Equal(t.Shape[:2], shape[:2]) || t.Shape[3] != size {
				return fmt.Errorf("past %v, want %v of shape %v", t, e.Tensor(0).Type, shape)
			}
			past = heads{t.Shape, t.Floats()}
		}
		for b, n := range a.past {
			if n > 0 && (past.shape == nil || n > past.shape[2]) {
				return fmt.Errorf("past %v has not %d keys", e.Tensor(3+i), n)
			}
			for head := range shape[1] {
				for p := range n {
					copy(all.row(b, head, p), past.row(b, head, p))
				}
				for p := range min(seq, capacity-n) {
					copy(all.row(b, head, n+p), h.row(b, head, p))
				}
			}
		}
		*h = all
		e.Set(1+i, tensor.FromFloats(e.Tensor(0).Type, all.shape, all.v))
	}
	return nil
}

// attend sets output 0: softmax(softcap(scale * Q K^T) + bias) V over the keys up
// to each query, or the last local_window_size of them. A sink is one more score,
// with no value.
func (a *groupedAttention) attend(e *Eval) error {
	batch, n, seq, size := a.q.shape[0], a.q.shape[1], a.q.shape[2], a.q.shape[3]
	capacity := a.k.shape[2]
	if err := e.Fits(tensor.Float64, []int{batch, n, seq, capacity}); err != nil {
		return err
	}
	scale := 1 / math.Sqrt(float64(size))
	if e.Float("scale") != 0 {
		scale = e.Float("scale")
	}
	bias, err := scoreBias(e.Tensor(10), []int{batch, n, seq, int(e.Tensor(6).Ints()[0])})
	if err != nil {
		return err
	}
	sink := func(int) float64 { return math.Inf(-1) }
	if t := e.Tensor(11); t != nil {
		if t.Len() != n {
			return fmt.Errorf("head_sink %v of %d heads", t, n)
		}
		v := t.Floats()
		sink = func(head int) float64 { return v[head] }
	} else if e.Int("smooth_softmax") > 0 {
		sink = func(int) float64 { return 0 }
	}
	window, top, group := e.Int("local_window_size"), e.Float("softcap"), n/a.k.shape[1]
	y := heads{a.q.shape, make([]float64, len(a.q.v))}
	y.eachRow(func(b, h, i int, out []float64) {
		end := min(a.past[b]+i+1, a.total[b])
		start := 0
		if window >= 0 {
			start = max(end-window, 0)
		}
		p := make([]float64, 0, end-start+1)
		for j := start; j < end; j++ {
			s := scale * dot(a.q.row(b, h, i), a.k.row(b, h/group, j))
			if top > 0 {
				s = top * math.Tanh(s/top)
			}
			p = append(p, s+bias(b, h, i, j))
		}
		p = append(p, sink(h))
		softmax(p)
		for j, w := range p[:end-start] {
			for c, x := range a.v.row(b, h/group, start+j) {
				out[c] += w * x
			}
		}
	})
	e.Set(0, tensor.FromFloats(e.Tensor(0).Type, []int{batch, seq, n * size}, swapMiddle(y.shape, y.v)))
	return nil
}

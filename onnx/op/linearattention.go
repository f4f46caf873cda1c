package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opLinearAttention = &Def{
	Name: "LinearAttention",
	Versions: []Version{
		{Since: 27, Schema: `query:T key:T value:T past_state?:S decay?:T beta?:T -> output:T present_state:S | chunk_size:int=64 kv_num_heads:int! q_num_heads:int! scale:float=0 update_rule:string="gated_delta" | T: bfloat16 float float16; S: bfloat16 float float16`},
	},
	Check: Loose,
	Infer: inferLinearAttention,
	Eval:  evalLinearAttention,
}

func inferLinearAttention(f *Infer) error {
	if rule := f.Str("update_rule"); !f.Given(5) && (rule == "delta" || rule == "gated_delta") {
		return fmt.Errorf("update_rule %s without beta", rule)
	}
	if err := f.match("- - - [?,?,?,?]"); err != nil {
		return err
	}
	if len(f.Out) > 1 && f.Out[1].Elem == 0 {
		f.SetElem(1, f.Type(0).Elem)
	}
	q, ok := f.Shape(0)
	v, ok2 := f.Shape(2)
	if !ok || !ok2 {
		return nil
	}
	qHeads, kvHeads := f.Int("q_num_heads"), f.Int("kv_num_heads")
	if len(q) != 3 || len(v) != 3 || qHeads < 1 || kvHeads < 1 {
		return fmt.Errorf("query %v of %d heads, value %v of %d", f.Type(0), qHeads, f.Type(2), kvHeads)
	}
	dk, dv := q[2].FloorDiv(dim.Of(int64(qHeads))), v[2].FloorDiv(dim.Of(int64(kvHeads)))
	f.Set(0, q[0], q[1], dv.Mul(dim.Of(int64(qHeads))))
	f.Set(1, q[0], dim.Of(int64(kvHeads)), dk, dv)
	return nil
}

// linearAttention is the recurrence over a state S of shape [dk, dv] for each
// key head.
type linearAttention struct {
	q, k, v     heads
	decay, beta *heads // last axis dk or 1; one head or as many as k
	scale       float64
}

func evalLinearAttention(e *Eval) error {
	l, err := newLinearAttention(e)
	if err != nil {
		return err
	}
	b, n, dk, dv := l.k.shape[0], l.k.shape[1], l.k.shape[3], l.v.shape[3]
	shape := []int{b, n, dk, dv}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	state, stateType := make([]float64, volume(shape)), e.Tensor(0).Type
	if past := e.Tensor(3); past != nil {
		if !slices.Equal(past.Shape, shape) {
			return fmt.Errorf("past_state %v, want shape %v", past, shape)
		}
		state, stateType = past.Floats(), past.Type
	}
	y := heads{shape: []int{b, l.q.shape[1], l.q.shape[2], dv}}
	y.v = make([]float64, volume(y.shape))
	for i := range b * n {
		l.head(i/n, i%n, state[i*dk*dv:(i+1)*dk*dv], &y)
	}
	seq, width := y.shape[2], y.shape[1]*dv
	e.Set(0, tensor.FromFloats(e.Tensor(0).Type, []int{b, seq, width}, swapMiddle(y.shape, y.v)))
	e.Set(1, tensor.FromFloats(stateType, shape, state))
	return nil
}

func newLinearAttention(e *Eval) (*linearAttention, error) {
	gated, delta := false, false
	switch rule := e.Str("update_rule"); rule {
	case "linear":
	case "gated":
		gated = true
	case "delta":
		delta = true
	case "gated_delta":
		gated, delta = true, true
	default:
		return nil, fmt.Errorf("update_rule %q", rule)
	}
	if gated != (e.Tensor(4) != nil) || delta != (e.Tensor(5) != nil) {
		return nil, fmt.Errorf("decay and beta do not fit update_rule %q", e.Str("update_rule"))
	}
	l := &linearAttention{scale: e.Float("scale")}
	qHeads, kvHeads := e.Int("q_num_heads"), e.Int("kv_num_heads")
	for i, h := range []*heads{&l.q, &l.k, &l.v} {
		n := kvHeads
		if i == 0 {
			n = qHeads
		}
		x := e.Tensor(i)
		var err error
		if *h, err = headsOf(x, n); err != nil || x.Rank() != 3 {
			return nil, fmt.Errorf("input %d is %v of %d heads", i, x, n)
		}
	}
	q, k, v := l.q.shape, l.k.shape, l.v.shape
	if qHeads%kvHeads != 0 || q[0] != k[0] || q[2] != k[2] || q[3] != k[3] || v[0] != k[0] || v[2] != k[2] {
		return nil, fmt.Errorf("query %v, key %v, value %v", q, k, v)
	}
	if l.scale == 0 {
		l.scale = 1 / math.Sqrt(float64(q[3]))
	}
	var err error
	if l.decay, err = l.gate(e.Tensor(4), kvHeads, q[3]); err != nil {
		return nil, err
	}
	l.beta, err = l.gate(e.Tensor(5), kvHeads, 1)
	return l, err
}

// gate reads a factor of shape [batch, seq, heads*size], [batch, seq, heads]
// or [batch, seq, 1].
func (l *linearAttention) gate(x *tensor.Tensor, n, size int) (*heads, error) {
	if x == nil {
		return nil, nil
	}
	if x.Rank() != 3 || x.Shape[0] != l.k.shape[0] || x.Shape[1] != l.k.shape[2] {
		return nil, fmt.Errorf("decay or beta %v for key %v", x, l.k.shape)
	}
	switch x.Shape[2] {
	case n, n * size:
	case 1:
		n = 1
	default:
		return nil, fmt.Errorf("decay or beta %v for %d heads", x, n)
	}
	h, err := headsOf(x, n)
	return &h, err
}

// head runs, for one key head, S <- exp(g) S; S <- S + k (beta (v - S^T k))^T,
// without the gate, or with k v^T, as the update rule has it; and reads
// scale * S^T q for every query head of its group.
func (l *linearAttention) head(b, n int, state []float64, y *heads) {
	dv, group := l.v.shape[3], l.q.shape[1]/l.k.shape[1]
	u := make([]float64, dv)
	for t := range l.k.shape[2] {
		k := l.k.row(b, n, t)
		copy(u, l.v.row(b, n, t))
		if l.decay != nil {
			g := l.decay.row(b, n%l.decay.shape[1], t)
			for i := range state {
				state[i] *= math.Exp(g[i/dv%len(g)])
			}
		}
		if l.beta != nil {
			beta := l.beta.row(b, n%l.beta.shape[1], t)[0]
			for m := range u {
				u[m] = beta * (u[m] - column(state, k, m, dv))
			}
		}
		for i := range state {
			state[i] += k[i/dv] * u[i%dv]
		}
		for h := n * group; h < (n+1)*group; h++ {
			q := l.q.row(b, h, t)
			for m, row := 0, y.row(b, h, t); m < dv; m++ {
				row[m] = l.scale * column(state, q, m, dv)
			}
		}
	}
}

// column is the product of x with column m of a matrix of the width.
func column(matrix, x []float64, m, width int) float64 {
	sum := 0.0
	for i, v := range x {
		sum += v * matrix[i*width+m]
	}
	return sum
}

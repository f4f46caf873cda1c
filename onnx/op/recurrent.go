package op

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// layer is one direction of a recurrent operator.
type layer struct {
	in, hidden int
	w, r       []float64 // [gates*hidden, in], [gates*hidden, hidden]
	wb, rb     []float64 // [gates*hidden]; nil without bias
	peephole   []float64 // [3*hidden] of LSTM; nil without
	act        []func(float64) float64
	attrs      *Attrs
	// round gives an element of the hidden state as this step's products read
	// it; nil leaves it.
	round func(float64) float64
}

// input is Wg*x + Wbg of gate g.
func (l *layer) input(g int, x []float64) []float64 { return affine(l.w, l.wb, g, l.hidden, x) }

// state is Rg*h + Rbg of gate g.
func (l *layer) state(g int, h []float64) []float64 {
	if l.round != nil {
		h = slices.Clone(h)
		for i := range h {
			h[i] = l.round(h[i])
		}
	}
	return affine(l.r, l.rb, g, l.hidden, h)
}

func affine(w, b []float64, g, hidden int, x []float64) []float64 {
	out := make([]float64, hidden)
	for j := range out {
		row := g*hidden + j
		if b != nil {
			out[j] = b[row]
		}
		for k, v := range x {
			out[j] += w[row*len(x)+k] * v
		}
	}
	return out
}

// recurrent completes d as a recurrent operator of so many gates. activations
// are the defaults of one direction; step replaces the hidden state h, and the
// cell state c of LSTM, by those after input x.
func recurrent(d *Def, gates int, activations []string, step func(l *layer, x, h, c []float64)) *Def {
	d.Check = Loose
	d.Infer = func(f *Infer) error { return inferRecurrent(f, gates) }
	d.Eval = func(e *Eval) error {
		r, err := newRecurrence(e, gates, activations)
		if err != nil {
			return err
		}
		for k := range r.layers {
			r.run(k, step)
		}
		r.set(e)
		return nil
	}
	return d
}

// directions is 2 for a bidirectional operator, else 1.
func directions(a *Attrs) int {
	if a.Str("direction") == "bidirectional" {
		return 2
	}
	return 1
}

func inferRecurrent(f *Infer, gates int) error {
	x, w, r := f.Type(0), f.Type(1), f.Type(2)
	for _, t := range f.In[:min(3, len(f.In))] {
		if t.Ranked && len(t.Shape) != 3 {
			return fmt.Errorf("shapes of X %v, W %v, R %v: want rank 3", x, w, r)
		}
	}
	seq, batch, hidden := dim.Unknown, dim.Unknown, dim.Unknown
	batchFirst := f.Int("layout") != 0
	if x.Ranked {
		seq, batch = x.Shape[0], x.Shape[1]
		if batchFirst {
			seq, batch = batch, seq
		}
	}
	switch {
	case r.Ranked:
		hidden = r.Shape[2]
	case f.Has("hidden_size"):
		hidden = dim.Of(int64(f.Int("hidden_size")))
	case w.Ranked:
		hidden = w.Shape[1].FloorDiv(dim.Of(int64(gates)))
	}
	dirs := dim.Of(int64(directions(&f.Attrs)))
	all, last := []dim.Dim{seq, dirs, batch, hidden}, []dim.Dim{dirs, batch, hidden}
	if batchFirst {
		all, last = []dim.Dim{batch, seq, dirs, hidden}, []dim.Dim{batch, dirs, hidden}
	}
	f.Set(0, all...)
	f.Set(1, last...)
	f.Set(2, last...)
	return nil
}

// recurrence is one evaluation: inputs and outputs with the sequence axis
// first, as layout 0 has them.
type recurrence struct {
	seq, batch, in, hidden int
	batchFirst             bool
	reverse                []bool // by layer
	layers                 []*layer
	x                      []float64             // [seq, batch, in]
	lens                   []int                 // [batch]
	y                      []float64             // [seq, dirs, batch, hidden]
	h, c                   []float64             // [dirs, batch, hidden]
	before                 func(layer, step int) // what is done before a step of all sequences; nil: nothing
}

func newRecurrence(e *Eval, gates int, activations []string) (*recurrence, error) {
	x, w, r := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	if x.Rank() != 3 || w.Rank() != 3 || r.Rank() != 3 {
		return nil, fmt.Errorf("shapes of X %v, W %v, R %v: want rank 3", x, w, r)
	}
	dirs := directions(&e.Attrs)
	q := &recurrence{seq: x.Shape[0], batch: x.Shape[1], in: x.Shape[2], hidden: r.Shape[2], batchFirst: e.Int("layout") != 0}
	q.reverse = []bool{e.Str("direction") == "reverse", true}[:dirs]
	var err error
	if q.batchFirst {
		q.seq, q.batch = q.batch, q.seq
		if x, err = Transpose(x, []int{1, 0, 2}); err != nil {
			return nil, err
		}
	}
	if n := e.Int("hidden_size"); n != 0 && n != q.hidden {
		return nil, fmt.Errorf("hidden_size %d but R %v", n, r)
	}
	rows := gates * q.hidden
	if err := q.checkShapes(e, dirs, rows); err != nil {
		return nil, err
	}
	if err := e.Fits(tensor.Float64, []int{q.seq, dirs, q.batch, q.hidden}); err != nil {
		return nil, err
	}
	if q.lens, err = sequenceLengths(e.Tensor(4), q.batch, q.seq); err != nil {
		return nil, err
	}
	if q.layers, err = newLayers(e, dirs, rows, activations); err != nil {
		return nil, err
	}
	q.x, q.y = x.Floats(), make([]float64, q.seq*dirs*q.batch*q.hidden)
	if q.h, err = q.initial(e.Tensor(5), dirs); err != nil {
		return nil, err
	}
	q.c, err = q.initial(e.Tensor(6), dirs)
	return q, err
}

func (q *recurrence) checkShapes(e *Eval, dirs, rows int) error {
	state := []int{dirs, q.batch, q.hidden}
	if q.batchFirst {
		state = []int{q.batch, dirs, q.hidden}
	}
	want := map[int][]int{1: {dirs, rows, q.in}, 2: {dirs, rows, q.hidden}, 3: {dirs, 2 * rows}, 4: {q.batch},
		5: state, 6: state, 7: {dirs, 3 * q.hidden}}
	for i := 1; i < len(e.In) && i <= 7; i++ {
		if t := e.Tensor(i); t != nil && !slices.Equal(t.Shape, want[i]) {
			return fmt.Errorf("input %s is %v, want shape %v", e.Schema.InParam(i).Name, t, want[i])
		}
	}
	return nil
}

func sequenceLengths(t *tensor.Tensor, batch, seq int) ([]int, error) {
	lens := make([]int, batch)
	for i := range lens {
		lens[i] = seq
	}
	if t == nil {
		return lens, nil
	}
	for i, n := range t.Ints() {
		if n < 0 || n > int64(seq) {
			return nil, fmt.Errorf("sequence length %d of %d", n, seq)
		}
		lens[i] = int(n)
	}
	return lens, nil
}

func newLayers(e *Eval, dirs, rows int, activations []string) ([]*layer, error) {
	clip := math.Inf(1)
	if e.Has("clip") {
		clip = e.Float("clip")
	}
	acts, err := recurrentActivations(&e.Attrs, dirs, activations, clip)
	if err != nil {
		return nil, err
	}
	w, r := e.Tensor(1), e.Tensor(2)
	layers := make([]*layer, dirs)
	for k := range layers {
		l := &layer{in: w.Shape[2], hidden: r.Shape[2], attrs: &e.Attrs, act: acts[k*len(activations) : (k+1)*len(activations)]}
		l.w, l.r = part(w, k, dirs), part(r, k, dirs)
		if b := e.Tensor(3); b != nil {
			both := part(b, k, dirs)
			l.wb, l.rb = both[:rows], both[rows:]
		}
		if p := e.Tensor(7); p != nil {
			l.peephole = part(p, k, dirs)
		}
		layers[k] = l
	}
	return layers, nil
}

// part is slice k of n along axis 0.
func part(t *tensor.Tensor, k, n int) []float64 {
	v := t.Floats()
	return v[len(v)/n*k : len(v)/n*(k+1)]
}

// initial is a state as [dirs, batch, hidden], zero without an input.
func (q *recurrence) initial(t *tensor.Tensor, dirs int) ([]float64, error) {
	if t == nil {
		return make([]float64, dirs*q.batch*q.hidden), nil
	}
	if q.batchFirst {
		var err error
		if t, err = Transpose(t, []int{1, 0, 2}); err != nil {
			return nil, err
		}
	}
	return t.Floats(), nil
}

// run evaluates layer k, all sequences step by step. Each is stepped through its
// own length, in reverse from its last element; outputs behind it are zero.
func (q *recurrence) run(k int, step func(l *layer, x, h, c []float64)) {
	dirs := len(q.layers)
	for i := range q.seq {
		if q.before != nil {
			q.before(k, i)
		}
		for b, n := range q.lens {
			if i >= n {
				continue
			}
			at, t := (k*q.batch+b)*q.hidden, i
			if q.reverse[k] {
				t = n - 1 - i
			}
			h, row := q.h[at:at+q.hidden], (t*q.batch+b)*q.in
			step(q.layers[k], q.x[row:row+q.in], h, q.c[at:at+q.hidden])
			copy(q.y[((t*dirs+k)*q.batch+b)*q.hidden:], h)
		}
	}
}

func (q *recurrence) set(e *Eval) {
	typ, dirs := e.Tensor(0).Type, len(q.layers)
	all := tensor.FromFloats(typ, []int{q.seq, dirs, q.batch, q.hidden}, q.y)
	h := tensor.FromFloats(typ, []int{dirs, q.batch, q.hidden}, q.h)
	c := tensor.FromFloats(typ, []int{dirs, q.batch, q.hidden}, q.c)
	if q.batchFirst { // the permutations are valid by construction
		all, _ = Transpose(all, []int{2, 0, 1, 3})
		h, _ = Transpose(h, []int{1, 0, 2})
		c, _ = Transpose(c, []int{1, 0, 2})
	}
	e.Set(0, all)
	e.Set(1, h)
	e.Set(2, c)
}

// recurrentActivations is the activation functions of all directions. Each first
// clips its input to [-clip, clip].
func recurrentActivations(a *Attrs, dirs int, defaults []string, clip float64) ([]func(float64) float64, error) {
	names := defaults
	if dirs == 2 {
		names = concat(defaults, defaults)
	}
	if x := a.Node.Attr("activations"); x != nil {
		names = x.Strings
	}
	if len(names) < dirs*len(defaults) {
		return nil, fmt.Errorf("%d activations, want %d", len(names), dirs*len(defaults))
	}
	alphas, betas := a.Floats("activation_alpha"), a.Floats("activation_beta")
	out := make([]func(float64) float64, dirs*len(defaults))
	for i := range out {
		k, ok := recurrentFunctions[strings.ToLower(names[i])]
		if !ok {
			return nil, fmt.Errorf("activation %q", names[i])
		}
		alpha, beta := k.alpha, k.beta
		if k.params > 0 && len(alphas) > 0 {
			alpha, alphas = float64(alphas[0]), alphas[1:]
		}
		if k.params > 1 && len(betas) > 0 {
			beta, betas = float64(betas[0]), betas[1:]
		}
		out[i] = func(x float64) float64 { return k.f(min(max(x, -clip), clip), alpha, beta) }
	}
	return out, nil
}

// recurrentFunctions is the activations of recurrent operators with the number
// of parameters that each takes from activation_alpha and activation_beta, and
// their defaults.
var recurrentFunctions = map[string]struct {
	params      int
	alpha, beta float64
	f           func(x, alpha, beta float64) float64
}{
	"relu":     {f: func(x, _, _ float64) float64 { return max(x, 0) }},
	"tanh":     {f: func(x, _, _ float64) float64 { return math.Tanh(x) }},
	"sigmoid":  {f: func(x, _, _ float64) float64 { return sigmoid(x) }},
	"softsign": {f: func(x, _, _ float64) float64 { return x / (1 + math.Abs(x)) }},
	"softplus": {f: func(x, _, _ float64) float64 { return softplus(x) }},
	"affine":   {2, 1, 0, func(x, alpha, beta float64) float64 { return alpha*x + beta }},
	"leakyrelu": {1, 0.01, 0, func(x, alpha, _ float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}},
	"thresholdedrelu": {1, 1, 0, func(x, alpha, _ float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}},
	"scaledtanh":  {2, 1, 1, func(x, alpha, beta float64) float64 { return alpha * math.Tanh(beta*x) }},
	"hardsigmoid": {2, 0.2, 0.5, func(x, alpha, beta float64) float64 { return min(max(alpha*x+beta, 0), 1) }},
	"elu": {1, 1, 0, func(x, alpha, _ float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}},
}

// Package compare runs two models on the same samples and says how far apart
// they are: signal to noise per tensor, accuracy, agreement and latency.
package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
	"onnxopt/runtime/calibrate"
	"onnxopt/runtime/samples"
)

// Source is samples that can be read in batches, such as *samples.Set.
type Source interface {
	Len() int
	// BatchSize is the number of samples that a batch must have, 0 for any.
	BatchSize() int
	// Values is samples [from, to) stacked along the first axis, in the order of
	// the graph inputs, filled up to BatchSize by repeating the last.
	Values(from, to int) ([]tensor.Value, error)
}

// Options of Run. The zero value is right for most uses.
type Options struct {
	Names    [2]string // of the models, in errors
	Threads  int
	Device   string          // runtime.Options.Device of outputs and inner tensors
	Batch    int             // samples run at once; 0 is 50
	Labels   []int           // the right class of each sample, or nil
	Boxes    [][]samples.Box // the objects of each sample, or nil
	Tensors  int             // samples on which inner tensors are compared; 0 is 200, or 32 and more of large tensors; negative none
	Latency  int             // timed runs of one sample of each model; 0 is 30, negative none
	Progress func(done, total int)
}

// Result is how model B differs from model A.
type Result struct {
	Samples  int      `json:"samples"`
	Seen     int      `json:"samples_fitted_on,omitempty"` // of Samples, those that B was fitted on, set by who knows
	Outputs  []Tensor `json:"outputs"`
	Tensors  []Tensor `json:"tensors"` // in the order of A's graph
	FirstBad string   `json:"first_bad,omitempty"`
	// TensorSamples is on how many samples, the first ones, Tensors are compared.
	TensorSamples int `json:"tensor_samples,omitempty"`
	// Chosen names the outputs whose elements are chosen among others, Candidates
	// what they are chosen from (see the function Candidates).
	Chosen     []string   `json:"chosen_outputs,omitempty"`
	Candidates []Tensor   `json:"candidates,omitempty"`
	Detection  *Detection `json:"detection,omitempty"`
	// Tokens is the share of positions of a first output [samples, positions,
	// classes] with the same top class; 0 for other outputs.
	Tokens    float64 `json:"tokens,omitempty"`
	Agreement float64 `json:"agreement"` // share of samples with the same top class
	Flips     []Flip  `json:"flips,omitempty"`
	Top1      *Pair   `json:"top1,omitempty"` // share right, with labels
	Top5      *Pair   `json:"top5,omitempty"`
	Latency   *Pair   `json:"latency_ms,omitempty"` // median of one sample
	// Confusion lists {right class, chosen class, samples} of A and of B, with
	// labels.
	Confusion *[2][][3]int `json:"confusion,omitempty"`
}

// Measured is the tensors whose SQNR counts: outputs, and what chosen ones are
// chosen from.
func (r *Result) Measured() []Tensor {
	return slices.DeleteFunc(slices.Concat(r.Outputs, r.Candidates), func(t Tensor) bool { return slices.Contains(r.Chosen, t.Name) })
}

// Pair is a figure of A and of B.
type Pair struct {
	A float64 `json:"a"`
	B float64 `json:"b"`
}

// Tensor compares one value: SQNR is 10*log10(sum a^2 / sum (a-b)^2) in dB,
// MaxAbs the largest difference, Cosine the angle between both, MSE and MAE the
// mean squared and absolute difference, R2 the share of A's variance that B
// explains (negative if B is worse than A's mean). NonFinite counts elements of
// an output that are NaN or infinite in one model only; then SQNR is -200.
type Tensor struct {
	Name   string  `json:"name"`
	Op     string  `json:"op,omitempty"`
	SQNR   float64 `json:"sqnr_db"`
	Cosine float64 `json:"cosine"`
	MaxAbs float64 `json:"max_abs"`
	MSE    float64 `json:"mse"`
	MAE    float64 `json:"mae"`
	R2     float64 `json:"r2"`

	NonFinite int `json:"non_finite,omitempty"`

	n                                    int
	sum, away, signal, other, dot, noise float64
}

// Flip is a sample whose top class changed.
type Flip struct {
	Sample int  `json:"sample"`
	A      int  `json:"a"`
	B      int  `json:"b"`
	Label  *int `json:"label,omitempty"`
}

// maxFlips bounds the list of changed samples.
const maxFlips = 100

// badSQNR is the SQNR in dB under which a tensor is called bad.
const badSQNR = 10

// add is addValue of every pair, its sums in registers.
func (t *Tensor) add(a, b []float32) {
	signal, other, dot, noise, sum, away := t.signal, t.other, t.dot, t.noise, t.sum, t.away
	most := math.Float64bits(t.MaxAbs) // of magnitudes, bits are in the order of values, NaN last
	b = b[:len(a)]
	for i, x := range a {
		p, q := float64(x), float64(b[i])
		d := p - q
		signal += p * p
		other += q * q
		dot += p * q
		noise += d * d
		sum += p
		away += math.Abs(d)
		most = max(most, math.Float64bits(math.Abs(d)))
	}
	t.signal, t.other, t.dot, t.noise, t.sum, t.away = signal, other, dot, noise, sum, away
	t.MaxAbs = math.Float64frombits(most)
	t.n += len(a)
}

func (t *Tensor) addValue(p, q float64) {
	d := p - q
	t.signal += p * p
	t.other += q * q
	t.dot += p * q
	t.noise += d * d
	t.n++
	t.sum += p
	t.away += math.Abs(d)
	t.MaxAbs = max(t.MaxAbs, math.Abs(d))
}

// noNoise is the SQNR in dB of what is equal.
const noNoise = 200

func (t *Tensor) finish() {
	t.SQNR = noNoise
	if t.noise > 0 {
		t.SQNR = min(10*math.Log10(t.signal/t.noise), noNoise)
	}
	t.Cosine = 1
	if t.signal > 0 && t.other > 0 {
		t.Cosine = t.dot / math.Sqrt(t.signal*t.other)
	}
	if t.n > 0 {
		t.MSE, t.MAE = t.noise/float64(t.n), t.away/float64(t.n)
	}
	t.R2 = 1
	if variance := t.signal - t.sum*t.sum/float64(max(t.n, 1)); variance > 0 {
		t.R2 = 1 - t.noise/variance
	}
}

type runner struct {
	ctx     context.Context
	o       Options
	a, b    *graph.Model
	src     Source
	result  *Result
	values  int      // of inner tensors after which no more samples are compared
	order   []string // names of the inner tensors compared
	tensors map[string]*Tensor

	candidates map[string]bool
	chosen     map[*graph.Value]bool
	boxes      *detector // nil for a model that detects nothing
}

// Run compares B with A on the samples. Both must have the same inputs and
// outputs by name.
func Run(ctx context.Context, a, b *graph.Model, src Source, o Options) (*Result, error) {
	r, err := newRunner(ctx, a, b, src, o)
	if err != nil {
		return nil, err
	}
	t, err := r.tally(calibrate.Span{First: 0, End: src.Len()}, false)
	if err != nil {
		return nil, err
	}
	r.result = t.Result()
	for _, v := range a.Graph.Outputs() {
		if r.chosen[v] {
			r.result.Chosen = append(r.result.Chosen, v.Name)
		}
	}
	if r.boxes != nil {
		r.result.Detection = r.boxes.result(o.Boxes)
	}
	if r.o.Tensors > 0 {
		if err := r.inner(); err != nil {
			return nil, err
		}
	}
	if r.o.Latency > 0 {
		if err := r.latency(); err != nil {
			return nil, err
		}
	}
	return r.result, nil
}

// Inner is the inner tensors of Run alone: Tensors, FirstBad and Candidates of
// its result.
func Inner(ctx context.Context, a, b *graph.Model, src Source, o Options) (*Result, error) {
	r, err := newRunner(ctx, a, b, src, o)
	if err != nil {
		return nil, err
	}
	r.result = &Result{Samples: min(r.o.Tensors, src.Len())}
	return r.result, r.inner()
}

// newRunner fills in what o leaves open and checks that the models and the
// labels fit.
func newRunner(ctx context.Context, a, b *graph.Model, src Source, o Options) (*runner, error) {
	if n := src.BatchSize(); n > 0 {
		o.Batch = n
	} else if o.Batch == 0 {
		o.Batch = 50
	}
	values := math.MaxInt
	if o.Tensors == 0 {
		o.Tensors, values = mostTensorSamples, tensorValues
	}
	if o.Latency == 0 {
		o.Latency = 30
	}
	if err := sameInterface(a, b); err != nil {
		return nil, err
	}
	if o.Labels != nil && len(o.Labels) != src.Len() {
		return nil, fmt.Errorf("%d labels for %d samples", len(o.Labels), src.Len())
	}
	r := &runner{ctx: ctx, o: o, a: a, b: b, src: src, values: values, tensors: map[string]*Tensor{}, candidates: map[string]bool{}}
	var candidates []*graph.Value
	candidates, r.chosen = Candidates(a)
	for _, v := range candidates {
		r.candidates[v.Name] = true
	}
	r.boxes = newDetector(a, r.chosen)
	switch {
	case o.Boxes != nil && r.boxes == nil:
		return nil, errors.New("boxes as labels, but no outputs that are boxes chosen by their scores")
	case o.Boxes != nil && len(o.Boxes) != src.Len():
		return nil, fmt.Errorf("boxes of %d samples for %d samples", len(o.Boxes), src.Len())
	}
	return r, nil
}

// sameInterface checks that both models take the same samples and give the same
// outputs. B may lack inputs of A that have a default.
func sameInterface(a, b *graph.Model) error {
	names := map[string]bool{}
	for _, v := range a.Graph.Inputs() {
		names[v.Name] = true
	}
	for _, v := range b.Graph.Inputs() {
		if !names[v.Name] && v.Data == nil {
			return fmt.Errorf("input %s is missing in the first model", v.Name)
		}
		delete(names, v.Name)
	}
	for _, v := range a.Graph.Inputs() {
		if names[v.Name] && v.Data == nil {
			return fmt.Errorf("input %s is missing in the second model", v.Name)
		}
	}
	x, y := a.Graph.Outputs(), b.Graph.Outputs()
	if len(x) != len(y) {
		return fmt.Errorf("the models have %d and %d outputs", len(x), len(y))
	}
	for i, v := range x {
		if w := y[i]; v.Name != w.Name {
			return fmt.Errorf("output %d is %s and %s", i, v.Name, w.Name)
		}
	}
	return nil
}

// forB brings a's inputs into the order of b's.
func (r *runner) forB(in []tensor.Value) []tensor.Value {
	at := map[string]tensor.Value{}
	for i, v := range r.a.Graph.Inputs() {
		if i < len(in) {
			at[v.Name] = in[i]
		}
	}
	out := make([]tensor.Value, len(r.b.Graph.Inputs()))
	for i, v := range r.b.Graph.Inputs() {
		out[i] = at[v.Name]
	}
	return out
}

// pairs matches the float values of both graphs by name. Where B quantizes a
// value, its dequantized form is what counts.
func pairs(a, b *graph.Model) (inA map[*graph.Value]bool, inB map[*graph.Value]string, order []string) {
	byName := map[string]*graph.Value{}
	for n := range b.Graph.Nodes() {
		for _, v := range n.Outputs() {
			if v != nil {
				byName[v.Name] = v
			}
		}
	}
	inA, inB = map[*graph.Value]bool{}, map[*graph.Value]string{}
	for n := range a.Graph.Nodes() {
		if n.Is("QuantizeLinear", "DequantizeLinear", "Constant", "Shape", "Identity") {
			continue
		}
		for _, v := range n.Outputs() {
			if v == nil || byName[v.Name] == nil {
				continue
			}
			inA[v] = true
			inB[effective(byName[v.Name])] = v.Name
			order = append(order, v.Name)
		}
	}
	return inA, inB, order
}

// effective is the value that readers of v see: behind QuantizeLinear and
// DequantizeLinear, and behind a fused activation nothing.
func effective(v *graph.Value) *graph.Value {
	for _, u := range v.Uses() {
		if u.Node == nil || !u.Node.Is("QuantizeLinear") {
			continue
		}
		for _, w := range u.Node.Out(0).Uses() {
			if w.Node != nil && w.Node.Is("DequantizeLinear") {
				return w.Node.Out(0)
			}
		}
	}
	return v
}

// innerBatch bounds the samples run at once while all inner tensors are kept.
const innerBatch = 8

// On how many samples inner tensors are compared where Options leave it open:
// as many as have tensorValues values, within bounds.
const (
	leastTensorSamples = 32
	mostTensorSamples  = 200
	tensorValues       = 1 << 28
)

// inner compares inner tensors on the first samples.
func (r *runner) inner() error {
	watchA, namesB, order := pairs(r.a, r.b)
	r.order = order
	watchB := map[*graph.Value]bool{}
	for v := range namesB {
		watchB[v] = true
	}
	opOf := map[string]string{}
	got := [2]map[string]*tensor.Tensor{{}, {}}
	keep := func(side int, name string, v tensor.Value) {
		if t, ok := v.(*tensor.Tensor); ok && t.Type == tensor.Float32 {
			got[side][name] = t
		}
	}
	sa, err := runtime.Compile(r.a, runtime.Options{Threads: r.o.Threads, Device: r.o.Device, Watch: watchA, Observe: func(v *graph.Value, t tensor.Value) {
		opOf[v.Name] = v.Def().Op
		keep(0, v.Name, t)
	}})
	if err != nil {
		return r.in(0, err)
	}
	sb, err := runtime.Compile(r.b, runtime.Options{Threads: r.o.Threads, Device: r.o.Device, Watch: watchB,
		Observe: func(v *graph.Value, t tensor.Value) { keep(1, namesB[v], t) }})
	if err != nil {
		return r.in(1, err)
	}
	step, n, values := r.o.Batch, min(r.o.Tensors, r.src.Len()), 0
	if r.src.BatchSize() == 0 {
		step = min(step, innerBatch)
	}
	for at := 0; at < n && (at < leastTensorSamples || values < r.values); at += step {
		r.result.TensorSamples = min(at+step, n)
		in, err := r.src.Values(at, r.result.TensorSamples)
		if err != nil {
			return err
		}
		clear(got[0])
		clear(got[1])
		if _, err := sa.Run(r.ctx, in); err != nil {
			return r.in(0, err)
		}
		if _, err := sb.Run(r.ctx, r.forB(in)); err != nil {
			return r.in(1, err)
		}
		for name, x := range got[0] {
			y := got[1][name]
			if y == nil || !slices.Equal(x.Shape, y.Shape) {
				continue
			}
			if r.tensors[name] == nil {
				r.tensors[name] = &Tensor{Name: name, Op: opOf[name]}
			}
			r.tensors[name].add(x.Float32s(), y.Float32s())
			values += x.Len()
		}
	}
	for _, name := range r.order {
		if t := r.tensors[name]; t != nil {
			t.finish()
			r.result.Tensors = append(r.result.Tensors, *t)
			if r.candidates[name] {
				r.result.Candidates = append(r.result.Candidates, *t)
			}
			if t.SQNR < badSQNR && r.result.FirstBad == "" {
				r.result.FirstBad = name
			}
		}
	}
	return nil
}

// ranking is the class numbers by falling score, at most five.
func ranking(score []float32) []int {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(score[j], score[i]) })
	return order[:min(5, len(order))]
}

// in names the model, 0 or 1, that an error is about.
func (r *runner) in(model int, err error) error {
	return fmt.Errorf("%s: %w", cmp.Or(r.o.Names[model], [2]string{"model A", "model B"}[model]), err)
}

// latency times single samples, the models in turn.
func (r *runner) latency() error {
	in, err := r.src.Values(0, 1)
	if err != nil {
		return err
	}
	var times [2][]float64
	var sessions [2]*runtime.Session
	for i, m := range []*graph.Model{r.a, r.b} {
		if sessions[i], err = runtime.Compile(m, runtime.Options{Threads: r.o.Threads}); err != nil {
			return err
		}
	}
	for k := range r.o.Latency + 3 {
		for i, s := range sessions {
			in := [2][]tensor.Value{in, r.forB(in)}[i]
			start := time.Now()
			if _, err := s.Run(r.ctx, in); err != nil {
				return err
			}
			if k >= 3 { // warm
				times[i] = append(times[i], float64(time.Since(start).Nanoseconds())/1e6)
			}
		}
	}
	median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
	r.result.Latency = &Pair{median(times[0]), median(times[1])}
	return nil
}

package compare

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
	"onnxopt/runtime/calibrate"
)

// Tally is what some samples say about the outputs of two models. Tallies of
// parts merge, in any order, to the tally of all, to the byte: its sums are
// exact, the rest is counts, extremes and the first of a list.
type Tally struct {
	// Models identifies both models, Data the samples and their preparation.
	// Tallies merge only if all are equal.
	Models  [2]string
	Data    string
	Labeled bool
	calibrate.Coverage

	Outputs []OutputTally
	Ranked  int // samples whose first output has scores of classes
	Agree   int // of them, those with the same top class
	Right   [2]int
	Right5  [2]int
	// Positions counts those of first outputs [samples, positions, classes], and
	// of them those with the same top class.
	Positions [2]int
	// Confusion counts samples by class: {right, chosen} of each model, with
	// labels; else Confusion[0] counts {A's, B's}.
	Confusion [2]map[[2]int]int
	Flips     []Flip // the first maxFlips
}

// OutputTally is the sums behind a Tensor.
type OutputTally struct {
	Name   string  `json:"name"`
	Signal Sum     `json:"signal"`
	Other  Sum     `json:"other"`
	Dot    Sum     `json:"dot"`
	Noise  Sum     `json:"noise"`
	Total  Sum     `json:"total"` // of A's values
	Away   Sum     `json:"away"`  // of absolute differences
	Count  int     `json:"count"` // of values
	MaxAbs float64 `json:"max_abs"`
	// NonFinite counts elements that are NaN or infinite in one model only.
	NonFinite int `json:"non_finite"`
}

// add takes one sample's values, which a and b hold in the same order. What is
// NaN or the same infinity in both counts as equal.
func (t *OutputTally) add(a, b []float32) {
	var s Tensor
	for i, x := range a {
		p, q := float64(x), float64(b[i])
		if finite(p) && finite(q) {
			s.addValue(p, q)
		} else if p != q && (p == p || q == q) {
			t.NonFinite++
		}
	}
	t.Signal.Add(s.signal)
	t.Other.Add(s.other)
	t.Dot.Add(s.dot)
	t.Noise.Add(s.noise)
	t.Total.Add(s.sum)
	t.Away.Add(s.away)
	t.Count += s.n
	t.MaxAbs = max(t.MaxAbs, s.MaxAbs)
}

func (t *OutputTally) tensor() Tensor {
	x := Tensor{Name: t.Name, MaxAbs: t.MaxAbs, NonFinite: t.NonFinite, n: t.Count, sum: t.Total.Float64(), away: t.Away.Float64(),
		signal: t.Signal.Float64(), other: t.Other.Float64(), dot: t.Dot.Float64(), noise: t.Noise.Float64()}
	x.finish()
	if t.NonFinite > 0 {
		x.SQNR, x.Cosine, x.R2 = -noNoise, 0, 0
	}
	return x
}

// classes takes the scores of one sample.
func (t *Tally) classes(sample int, a, b []float32, labels []int) {
	ra, rb := ranking(a), ranking(b)
	t.Ranked++
	if ra[0] == rb[0] {
		t.Agree++
	} else if len(t.Flips) < maxFlips {
		f := Flip{Sample: sample, A: ra[0], B: rb[0]}
		if labels != nil {
			f.Label = &labels[sample]
		}
		t.Flips = append(t.Flips, f)
	}
	if labels == nil {
		t.confuse(0, [2]int{ra[0], rb[0]}, 1)
		return
	}
	for side, rank := range [][]int{ra, rb} {
		t.confuse(side, [2]int{labels[sample], rank[0]}, 1)
		switch p := slices.Index(rank, labels[sample]); {
		case p == 0:
			t.Right[side]++
			fallthrough
		case p > 0 && p < 5:
			t.Right5[side]++
		}
	}
}

// positions takes the scores of k classes at each position of one sample.
func (t *Tally) positions(a, b []float32, k int) {
	for at := 0; at < len(a); at += k {
		t.Positions[0]++
		if Top(a[at:at+k]) == Top(b[at:at+k]) {
			t.Positions[1]++
		}
	}
}

// Top is the class with the largest score, the first of equals.
func Top(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// confuse counts n samples of {right, chosen}.
func (t *Tally) confuse(side int, classes [2]int, n int) {
	if t.Confusion[side] == nil {
		t.Confusion[side] = map[[2]int]int{}
	}
	t.Confusion[side][classes] += n
}

// Merge adds what o has seen to t. It returns an error, and leaves t as it
// was, if the two are of other models or data, or have a sample in common.
func (t *Tally) Merge(o *Tally) error {
	switch {
	case t.Models != o.Models:
		return fmt.Errorf("merge evaluation: it is of other models")
	case t.Data != o.Data || t.Labeled != o.Labeled:
		return fmt.Errorf("merge evaluation: data %.80q is not %.80q", o.Data, t.Data)
	case !slices.EqualFunc(t.Outputs, o.Outputs, func(a, b OutputTally) bool { return a.Name == b.Name }):
		return fmt.Errorf("merge evaluation: it has other outputs")
	}
	covered, err := t.Union(o.Coverage)
	if err != nil {
		return fmt.Errorf("merge evaluation: %w", err)
	}
	t.Coverage = covered
	for i := range t.Outputs {
		a, b := &t.Outputs[i], &o.Outputs[i]
		a.Signal.Merge(&b.Signal)
		a.Other.Merge(&b.Other)
		a.Dot.Merge(&b.Dot)
		a.Noise.Merge(&b.Noise)
		a.Total.Merge(&b.Total)
		a.Away.Merge(&b.Away)
		a.Count += b.Count
		a.MaxAbs = max(a.MaxAbs, b.MaxAbs)
		a.NonFinite += b.NonFinite
	}
	t.Ranked += o.Ranked
	t.Agree += o.Agree
	t.Positions[0] += o.Positions[0]
	t.Positions[1] += o.Positions[1]
	for side := range 2 {
		t.Right[side] += o.Right[side]
		t.Right5[side] += o.Right5[side]
		for k, n := range o.Confusion[side] {
			t.confuse(side, k, n)
		}
	}
	t.Flips = append(t.Flips, o.Flips...)
	slices.SortFunc(t.Flips, func(a, b Flip) int { return a.Sample - b.Sample })
	t.Flips = t.Flips[:min(len(t.Flips), maxFlips)]
	return nil
}

// Result is what the tally says of the outputs.
func (t *Tally) Result() *Result {
	seen := 0
	for _, s := range t.Covered() {
		seen += s.End - s.First
	}
	r := &Result{Samples: seen, Flips: t.Flips}
	for i := range t.Outputs {
		r.Outputs = append(r.Outputs, t.Outputs[i].tensor())
	}
	if t.Positions[0] > 0 {
		r.Tokens = float64(t.Positions[1]) / float64(t.Positions[0])
	}
	if t.Ranked > 0 {
		n := float64(t.Ranked)
		r.Agreement = float64(t.Agree) / n
		if t.Labeled {
			r.Top1 = &Pair{float64(t.Right[0]) / n, float64(t.Right[1]) / n}
			r.Top5 = &Pair{float64(t.Right5[0]) / n, float64(t.Right5[1]) / n}
			c := t.confusion()
			r.Confusion = &c
		}
	}
	return r
}

// confusion is t.Confusion as sorted lists.
func (t *Tally) confusion() (out [2][][3]int) {
	for side, counts := range t.Confusion {
		for _, k := range slices.SortedFunc(maps.Keys(counts), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }) {
			out[side] = append(out[side], [3]int{k[0], k[1], counts[k]})
		}
	}
	return out
}

// tallyFile is the form of a file of a tally.
type tallyFile struct {
	Format    string        `json:"format"`
	Models    [2]string     `json:"models"`
	Data      string        `json:"data"`
	Labeled   bool          `json:"labeled"`
	Total     int           `json:"total"`
	Covered   [][2]int      `json:"covered"` // first and one past the last sample
	Outputs   []OutputTally `json:"outputs"`
	Ranked    int           `json:"ranked"`
	Agree     int           `json:"agree"`
	Positions [2]int        `json:"positions"`
	Right     [2]int        `json:"right"`
	Right5    [2]int        `json:"right5"`
	Confusion [2][][3]int   `json:"confusion"` // right, chosen, count; ascending
	Flips     []Flip        `json:"flips"`
}

const tallyFormat = "onnxopt evaluation 2"

// WriteTo writes t as JSON, the same bytes for equal tallies.
func (t *Tally) WriteTo(w io.Writer) (int64, error) {
	f := tallyFile{Format: tallyFormat, Models: t.Models, Data: t.Data, Labeled: t.Labeled, Total: t.Total, Outputs: t.Outputs,
		Ranked: t.Ranked, Agree: t.Agree, Positions: t.Positions, Right: t.Right, Right5: t.Right5, Flips: t.Flips}
	for _, s := range t.Covered() {
		f.Covered = append(f.Covered, [2]int{s.First, s.End})
	}
	f.Confusion = t.confusion()
	b, err := json.Marshal(f)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(b, '\n'))
	return int64(n), err
}

// possible reports that sums of squares and counts are not negative, and that
// counts fit the number of samples.
func (f *tallyFile) possible() bool {
	seen := 0
	for _, s := range f.Covered {
		seen += s[1] - s[0]
	}
	for i := range f.Outputs {
		o := &f.Outputs[i]
		if o.Signal.f.Sign() < 0 || o.Other.f.Sign() < 0 || o.Noise.f.Sign() < 0 || o.Away.f.Sign() < 0 || o.Count < 0 || o.MaxAbs < 0 || o.NonFinite < 0 {
			return false
		}
	}
	for _, n := range []int{f.Ranked, f.Agree, f.Right[0], f.Right[1], f.Right5[0], f.Right5[1]} {
		if n < 0 || n > seen {
			return false
		}
	}
	if f.Positions[1] < 0 || f.Positions[1] > f.Positions[0] {
		return false
	}
	for _, counts := range f.Confusion {
		for _, c := range counts {
			if c[2] < 0 || c[2] > seen {
				return false
			}
		}
	}
	return f.Total >= 0 && len(f.Flips) <= maxFlips
}

// maxTally bounds the size of a file of a tally.
const maxTally = 256 << 20

// ReadFrom reads what WriteTo wrote.
func (t *Tally) ReadFrom(r io.Reader) (int64, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxTally+1))
	if err != nil {
		return int64(len(b)), err
	}
	var f tallyFile
	if err := json.Unmarshal(b, &f); err != nil || f.Format != tallyFormat || len(b) > maxTally {
		return int64(len(b)), fmt.Errorf("not an evaluation of this version, or a damaged one")
	}
	*t = Tally{Models: f.Models, Data: f.Data, Labeled: f.Labeled, Coverage: calibrate.Coverage{Total: f.Total}, Outputs: f.Outputs,
		Ranked: f.Ranked, Agree: f.Agree, Positions: f.Positions, Right: f.Right, Right5: f.Right5, Flips: f.Flips}
	if !f.possible() {
		return int64(len(b)), fmt.Errorf("a damaged evaluation: its numbers cannot be")
	}
	for _, s := range f.Covered {
		if err := t.BeginSpan(calibrate.Span{First: s[0], End: s[1]}); err != nil {
			return int64(len(b)), err
		}
	}
	for side, counts := range f.Confusion {
		for _, c := range counts {
			t.confuse(side, [2]int{c[0], c[1]}, c[2])
		}
	}
	return int64(len(b)), nil
}

// Evaluate compares the outputs of both models on a span of the samples. Every
// output must have a row for each sample of a batch, so that the result does
// not depend on where spans begin. Options.Tensors and Latency count for nothing.
func Evaluate(ctx context.Context, a, b *graph.Model, src Source, span calibrate.Span, o Options) (*Tally, error) {
	r, err := newRunner(ctx, a, b, src, o)
	if err != nil {
		return nil, err
	}
	t, err := r.tally(span, true)
	if err != nil {
		return nil, err
	}
	for i, m := range []*graph.Model{a, b} {
		digest, err := onnx.Digest(m)
		if err != nil {
			return nil, err
		}
		t.Models[i] = hex.EncodeToString(digest[:])
	}
	return t, nil
}

// tally runs both models on a span. Outputs without a row for each sample are
// taken whole, or refused if split.
func (r *runner) tally(span calibrate.Span, split bool) (*Tally, error) {
	sa, err := runtime.Compile(r.a, runtime.Options{Threads: r.o.Threads, Device: r.o.Device})
	if err != nil {
		return nil, r.in(0, err)
	}
	sb, err := runtime.Compile(r.b, runtime.Options{Threads: r.o.Threads, Device: r.o.Device})
	if err != nil {
		return nil, r.in(1, err)
	}
	t := &Tally{Labeled: r.o.Labels != nil, Coverage: calibrate.Coverage{Total: r.src.Len()}}
	if err := t.BeginSpan(span); err != nil {
		return nil, err
	}
	for _, v := range r.a.Graph.Outputs() {
		t.Outputs = append(t.Outputs, OutputTally{Name: v.Name})
	}
	for at := span.First; at < span.End; at += r.o.Batch {
		to := min(at+r.o.Batch, span.End)
		in, err := r.src.Values(at, to)
		if err != nil {
			return nil, err
		}
		ya, err := sa.Run(r.ctx, in)
		if err != nil {
			return nil, r.in(0, err)
		}
		yb, err := sb.Run(r.ctx, r.forB(in))
		if err != nil {
			return nil, r.in(1, err)
		}
		if r.boxes != nil {
			r.boxes.add(0, at, to-at, ya)
			r.boxes.add(1, at, to-at, yb)
		}
		for i := range t.Outputs {
			if err := r.addOutput(t, i, at, to, ya[i], yb[i], split); err != nil {
				return nil, err
			}
		}
		if r.o.Progress != nil {
			r.o.Progress(to-span.First, span.End-span.First)
		}
	}
	return t, nil
}

// addOutput takes output i of samples [at, to).
func (r *runner) addOutput(t *Tally, i, at, to int, a, b tensor.Value, split bool) error {
	x, ok := a.(*tensor.Tensor)
	y, ok2 := b.(*tensor.Tensor)
	out := &t.Outputs[i]
	if !ok || !ok2 || !x.Type.IsFloat() && !x.Type.IsInt() {
		return nil
	}
	if !split && r.chosen[r.a.Graph.Outputs()[i]] && !slices.Equal(x.Shape, y.Shape) {
		return nil // as many as were chosen
	}
	if x.Type != y.Type || !slices.Equal(x.Shape, y.Shape) {
		return fmt.Errorf("output %s is %v and %v", out.Name, x, y)
	}
	batch := max(r.src.BatchSize(), to-at)
	p, q := x.Float32s(), y.Float32s()
	if x.Rank() == 0 || x.Shape[0] != batch {
		if split && batch > 1 {
			return fmt.Errorf("output %s is %v for %d samples: only outputs with a row for each sample are evaluated in shards", out.Name, x, batch)
		}
		out.add(p, q)
		return nil
	}
	k := len(p) / batch
	for s := range to - at {
		a, b := p[s*k:(s+1)*k], q[s*k:(s+1)*k]
		out.add(a, b)
		switch {
		case i > 0 || r.boxes != nil:
		case x.Rank() == 2 && k > 1:
			t.classes(at+s, a, b, r.o.Labels)
		case x.Rank() == 3 && x.Shape[2] > 1:
			t.positions(a, b, x.Shape[2])
		}
	}
	return nil
}

// Package search decides which layers to quantize by what that does to the
// model's outputs.
package search

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/passes/quant"
	"onnxopt/runtime"
	"onnxopt/runtime/compare"
)

// Mixed leaves layers in float until the outputs of the quantized model reach the
// least SQNR: those first that cost most when they alone are quantized. Their
// weights are stored in float16, or in 8 bits where that is enough.
var Mixed = pass.Pass{
	Name:  "mixed-precision",
	Doc:   "leave the most sensitive layers in float until the outputs are accurate enough",
	Needs: pass.Calibrated,
	Run:   mixed,
}

// DefaultMinSQNR is what a zero QuantSettings.MinSQNR means, in dB.
const DefaultMinSQNR = 20

// Samples that trials run on: a few to rank the layers, more to accept a
// choice; and the dB that other samples may be worse by.
const (
	probes = 4
	checks = 16
	margin = 1
)

func mixed(c *pass.Context, m *graph.Model) error {
	if c.Samples == nil {
		c.Warn("left out: it needs samples")
		return nil
	}
	if q := c.Settings.Quant; q.MinSQNR < 0 && q.MaxDrop == nil && !q.Sensitivity {
		return nil // anything is accurate enough
	}
	titles, ops, err := quant.Layers(c, m)
	if err != nil || len(titles) == 0 {
		return err
	}
	t, err := newTrial(c, m)
	if err != nil {
		return err
	}
	db, enough, err := t.measure(nil)
	if err != nil {
		return err
	}
	enough = enough || t.incomparable
	if !enough || c.Settings.Quant.Sensitivity {
		if c.Sensitivity, err = t.sensitivity(titles, ops); err != nil {
			return err
		}
	}
	spared, err := t.spareLast(titles, db)
	if len(spared) > 0 && !enough {
		_, enough, err = t.measure(nil)
	}
	if err != nil || enough {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(c.Sensitivity), func(s pass.Sensitivity) bool { return slices.Contains(spared, s.Node) })
	skip, have, enough, err := t.leaveOut(rest)
	half, float := skip, []string(nil)
	switch {
	case err != nil:
		return err
	case enough:
		if half, float, err = t.narrow(skip); err != nil {
			return err
		}
		c.Warn("%d of %d layers stay in float, for an SQNR of the outputs of %.1f dB: %s", len(skip), len(titles), have, strings.Join(skip, ", "))
	default:
		c.Warn("outputs reach an SQNR of %.1f dB, less than asked for, even with %d of %d layers in float: %s", have, len(skip), len(titles), strings.Join(skip, ", "))
	}
	c.Settings.Quant.Half = append(slices.Clone(c.Settings.Quant.Half), half...)
	c.Settings.Quant.Float = append(slices.Clone(c.Settings.Quant.Float), float...)
	return nil
}

// sensitivity is the SQNR of the outputs with each of the layers quantized alone.
func (t *trial) sensitivity(titles, ops []string) (list []pass.Sensitivity, err error) {
	for i, name := range titles {
		others := slices.Delete(slices.Clone(titles), i, i+1)
		db, err := t.sqnr(others, probes, quant.Insert)
		if err != nil {
			return nil, err
		}
		list = append(list, pass.Sensitivity{Node: name, Op: ops[i], SQNR: db})
		t.c.Progress(i+1, len(titles))
	}
	return list, nil
}

// narrow divides the layers that stay in float, the most sensitive first, into
// those that need weights in float16 and those whose 8-bit weights do: what
// made them sensitive is what they read and compute.
func (t *trial) narrow(skip []string) (half, float []string, err error) {
	lo, hi := 0, len(skip) // so many need float16: at least, at most
	for at := 0; lo < hi; at = (lo + hi) / 2 {
		t.float = skip[at:]
		_, ok, err := t.measure(skip[:at])
		if err != nil {
			return nil, nil, err
		}
		if ok {
			hi = at
		} else {
			lo = at + 1
		}
	}
	t.float = nil
	return skip[:hi], skip[hi:], nil
}

// leaveOut grows the set of float layers, most sensitive first, until the
// outputs are good enough. The noise of layers adds up, about, which tells how
// many to try; each try is measured. What cannot be reached is left at its best.
func (t *trial) leaveOut(list []pass.Sensitivity) (skip []string, have float64, enough bool, err error) {
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b pass.Sensitivity) int { return cmp.Compare(a.SQNR, b.SQNR) })
	noise := func(rest []pass.Sensitivity) float64 {
		sum := 0.0
		for _, s := range rest {
			sum += math.Pow(10, -s.SQNR/10)
		}
		return sum
	}
	n := 1
	for n < len(order) && noise(order[n:]) > math.Pow(10, -t.least/10) {
		n++
	}
	have = math.Inf(-1)
	try := func(n int) (bool, error) {
		names := make([]string, n)
		for i, s := range order[:n] {
			names[i] = s.Node
		}
		db, ok, err := t.measure(names)
		if ok || !enough && db > have {
			skip, have, enough = names, db, ok
		}
		return ok, err
	}
	failed := 0
	for !enough {
		ok, err := try(n)
		if err != nil {
			return nil, 0, false, err
		}
		if !ok {
			failed = n
			if n == len(order) {
				return skip, have, false, nil
			}
			n = min(n+max(len(order)/8, 1), len(order))
		}
	}
	for n-failed > 1 { // fewer may do
		middle := (n + failed) / 2
		ok, err := try(middle)
		if err != nil {
			return nil, 0, false, err
		}
		if ok {
			n = middle
		} else {
			failed = middle
		}
	}
	return skip, have, true, nil
}

// measure is the SQNR of the outputs without the layers of skip, and whether
// they are good enough.
func (t *trial) measure(skip []string) (db float64, enough bool, err error) {
	if db, err = t.sqnr(skip, checks, quant.Insert, quant.Weights); err != nil || db < t.least || t.classes == nil {
		return db, db >= t.least, err
	}
	points, err := t.lost(skip)
	return db, points <= *t.c.Settings.Quant.MaxDrop+1e-9, err
}

// trial measures quantized copies of a float model.
type trial struct {
	c            *pass.Context
	m            *graph.Model
	inputs       [][]tensor.Value
	want         [][]*tensor.Tensor    // what counts of the float model
	incomparable bool                  // it changes its shapes
	candidates   []string              // values that count instead of chosen outputs
	chosen       []bool                // outputs
	least        float64               // SQNR in dB, with the margin
	float        []string              // layers in float with 8-bit weights, in every trial
	classes      []int                 // what the float model decides; nil if that does not count
	work         map[*graph.Node]int64 // multiplications of the float model, of matrix products
}

// runner runs m and returns what counts: the outputs, nil for one that is no
// tensor or chosen among candidates, and the candidates.
func (t *trial) runner(m *graph.Model, device string, profile func(runtime.Step)) (func([]tensor.Value) ([]*tensor.Tensor, error), error) {
	watch := map[*graph.Value]bool{}
	at := map[*graph.Value]int{}
	for i, name := range t.candidates {
		if v := m.Graph.Find(name); v != nil {
			watch[v], at[v] = true, len(t.chosen)+i
		}
	}
	var got []*tensor.Tensor
	s, err := runtime.Compile(m, runtime.Options{Threads: t.c.Settings.Threads, Device: device, Watch: watch, Profile: profile, Observe: func(v *graph.Value, x tensor.Value) {
		if k, ok := at[v]; ok {
			got[k], _ = x.(*tensor.Tensor)
		}
	}})
	if err != nil {
		return nil, err
	}
	return func(in []tensor.Value) ([]*tensor.Tensor, error) {
		got = make([]*tensor.Tensor, len(t.chosen)+len(t.candidates))
		out, err := s.Run(t.c, in)
		for k := range out {
			if !t.chosen[k] {
				got[k], _ = out[k].(*tensor.Tensor)
			}
		}
		for k, x := range got[len(t.chosen):] {
			if x != nil {
				got[len(t.chosen)+k] = x.Clone()
			}
		}
		return got, err
	}, nil
}

func newTrial(c *pass.Context, m *graph.Model) (*trial, error) {
	t := &trial{c: c, m: m}
	candidates, chosen := compare.Candidates(m)
	for _, v := range candidates {
		t.candidates = append(t.candidates, v.Name)
	}
	for _, v := range m.Graph.Outputs() {
		t.chosen = append(t.chosen, chosen[v])
	}
	t.least = cmp.Or(c.Settings.Quant.MinSQNR, DefaultMinSQNR) + margin
	if c.Settings.Quant.MinSQNR < 0 {
		t.least = math.Inf(-1)
	}
	if c.Settings.Quant.MaxDrop != nil {
		var err error
		if t.classes, err = t.decide(m, ""); err != nil {
			return nil, err
		}
		if t.classes != nil && c.Settings.Quant.MinSQNR == 0 {
			t.least = math.Inf(-1) // decisions count, not noise
		}
	}
	t.work = map[*graph.Node]int64{}
	run, err := t.runner(m, "", func(s runtime.Step) {
		for _, n := range slices.Concat(s.Covered, []*graph.Node{s.Node}) {
			t.work[n] += s.Work
		}
	})
	if err != nil {
		return nil, err
	}
	step := max(c.Samples.BatchSize(), 1)
	batches := (c.Samples.Len() + step - 1) / step
	for i := range min(checks, batches) {
		at := i * batches / min(checks, batches) * step // evenly spaced
		in, err := c.Values(m, at, min(at+step, c.Samples.Len()))
		if err != nil {
			return nil, err
		}
		out, err := run(in)
		if err != nil {
			return nil, err
		}
		t.inputs, t.want = append(t.inputs, in), append(t.want, out)
	}
	return t, nil
}

// quantized is a copy of the model, quantized by passes without the layers of
// skip. quant.Weights makes what skip keeps float16; without it, it stays as it is.
func (t *trial) quantized(skip []string, passes ...pass.Pass) (*graph.Model, error) {
	settings := t.c.Settings
	settings.Quant.Half = append(slices.Clone(settings.Quant.Half), skip...)
	settings.Quant.Float = append(slices.Clone(settings.Quant.Float), t.float...)
	m := t.m.Clone()
	c := t.c.Fork(m, settings)
	for _, p := range passes {
		if err := p.Run(c, m); err != nil {
			return nil, fmt.Errorf("trial: %w", err)
		}
	}
	return m, nil
}

// sqnr quantizes a copy by passes without the layers of skip and returns the SQNR in dB
// of its worst float output on at most n of the samples.
func (t *trial) sqnr(skip []string, n int, passes ...pass.Pass) (float64, error) {
	m, err := t.quantized(skip, passes...)
	if err != nil {
		return 0, err
	}
	run, err := t.runner(m, t.c.Settings.Device, nil)
	if err != nil {
		return 0, fmt.Errorf("trial: %w", err)
	}
	signal, noise := map[int]float64{}, map[int]float64{}
	for j := range min(n, len(t.inputs)) {
		i := j * len(t.inputs) / min(n, len(t.inputs))
		out, err := run(t.inputs[i])
		if err != nil {
			return 0, fmt.Errorf("trial: %w", err)
		}
		for k := range out {
			a, b := t.want[i][k], out[k]
			if a == nil || b == nil || !a.Type.IsFloat() {
				continue
			}
			if !slices.Equal(a.Shape, b.Shape) {
				t.incomparable = true
				continue
			}
			x, y := a.Float32s(), b.Float32s()
			for j := range x {
				if p := float64(x[j]); !math.IsInf(p, 0) && !math.IsNaN(p) {
					d := p - float64(y[j])
					signal[k], noise[k] = signal[k]+p*p, noise[k]+d*d
				}
			}
		}
	}
	worst := 200.0
	for _, k := range slices.Sorted(maps.Keys(signal)) {
		switch {
		case signal[k] == 0 || noise[k] == 0:
		case math.IsNaN(noise[k]):
			worst = math.Inf(-1)
		default:
			worst = min(worst, 10*math.Log10(signal[k]/noise[k]))
		}
	}
	return worst, nil
}

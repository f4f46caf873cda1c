package quant

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/layerwise"
	"onnxopt/passes/pass"
	"onnxopt/runtime/calibrate"
)

// Calibrate runs the float model on the samples and chooses the range of every
// value that quantization will need.
var Calibrate = pass.Pass{
	Name:  "calibrate",
	Doc:   "run the model on the samples to find the range of every activation",
	Gives: pass.Calibrated,
	Run:   calibrateRanges,
}

func calibrateRanges(c *pass.Context, m *graph.Model) error {
	method, err := calibrate.ParseMethod(cmp.Or(c.Settings.Quant.Method, calibrate.Auto.String()))
	if err != nil {
		return err
	}
	p, err := newPlan(c, m, silent)
	if err != nil {
		return err
	}
	format, _, err := activationFormat(p.profile, c.Settings.Quant, max(m.Opset(""), Bits16Opset))
	if err != nil {
		return err
	}
	set, err := sketches(c, m, p)
	if err != nil {
		return err
	}
	if c.Calibration != nil && c.Calibration.ObserveOnly {
		return nil
	}
	c.Ranges = pass.Ranges{}
	for _, name := range set.Names() {
		s, _ := set.Lookup(name)
		choice, err := s.Choose(calibrate.Options{Method: method, Format: format, Percent: c.Settings.Quant.Percentile})
		if err != nil {
			return fmt.Errorf("value %s: %w", name, err)
		}
		c.Ranges[name] = pass.Range{Choice: choice, Unbounded: unbounded(s, choice), Sketch: s}
	}
	return nil
}

// sketches is what the values that p quantizes are on the samples: read from a
// calibration file, or observed, all samples or the asked shard of them.
func sketches(c *pass.Context, m *graph.Model, p *plan) (*calibrate.Set, error) {
	digest, err := onnx.Digest(m)
	if err != nil {
		return nil, err
	}
	model := fmt.Sprintf("%x", digest)
	job := c.Calibration
	if job != nil && job.Set != nil {
		if job.Set.Model != model {
			return nil, fmt.Errorf("the calibration file is of another model, or of other settings of the passes before")
		}
		return job.Set, job.Set.Complete()
	}
	if c.Samples == nil || c.Samples.Len() == 0 {
		return nil, fmt.Errorf("no samples: give --data")
	}
	span := calibrate.Span{First: 0, End: c.Samples.Len()}
	set := calibrate.NewSet(model, "", span.End)
	if job != nil {
		set.Data = job.Data
		if span, err = calibrate.Shard(job.Shard, job.Shards, span.End); err != nil {
			return nil, err
		}
		job.Set = set
	}
	for i := span.First; i < span.End; i++ {
		if err := set.Begin(i); err != nil {
			return nil, err
		}
	}
	for _, v := range sortedValues(p.values) {
		set.Sketch(v) // also of values that no sample reaches
	}
	return set, observe(c, m, p, set, span)
}

func sortedValues(values map[*graph.Value]bool) []string {
	var names []string
	for v := range values {
		names = append(names, v.Name)
	}
	slices.Sort(names)
	return names
}

// unbounded says what a sketch has seen that no scale can represent.
func unbounded(s *calibrate.Sketch, choice calibrate.Choice) string {
	k := s.Counts()
	switch {
	case k.NaN > 0:
		return fmt.Sprintf("%d NaN", k.NaN)
	case k.PosInf+k.NegInf > 0:
		return fmt.Sprintf("%d infinite values", k.PosInf+k.NegInf)
	case choice.Excluded > 0:
		return fmt.Sprintf("%d values beyond %g", choice.Excluded, calibrate.DefaultLimit)
	}
	return ""
}

// How many values of one tensor are counted over all samples, about, and of each
// sample at least: more say nothing new of a distribution.
const (
	countedValues = 1 << 20
	leastCounted  = 1 << 12
)

// observe runs the model on a span of the samples; each sample is one
// observation of every value that the plan quantizes. What round-weights needs
// is summed on the way, if these are all samples.
func observe(c *pass.Context, m *graph.Model, p *plan, set *calibrate.Set, span calibrate.Span) error {
	var list layerwise.Systems
	if c.Runs(Round.Name) && span.End-span.First == c.Samples.Len() {
		layersToRound(c, m, p, &list, silent)
	}
	sums := list.Gathering()
	watch := maps.Clone(p.values)
	sums.Watch(watch)
	some := max(countedValues/max(set.Total, 1), leastCounted)
	see := func(b *layerwise.Batch, v *graph.Value, t *tensor.Tensor, last bool) {
		sums.See(b, v, t, last)
		if !p.values[v] {
			return
		}
		s, d := set.Sketch(v.Name), t.Float32s()
		for i := range b.Parts(t) {
			s.AddSome(d[i*len(d)/b.Of(t):(i+1)*len(d)/b.Of(t)], some)
		}
	}
	if err := layerwise.Sweep(c, m, span, watch, see, c.Progress); err != nil {
		return err
	}
	sums.Keep(c)
	return nil
}

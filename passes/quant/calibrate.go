package quant

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
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
	if c.Samples == nil || c.Samples.Len() == 0 {
		return fmt.Errorf("no samples: give --data")
	}
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
	sketches := map[string]*calibrate.Sketch{}
	if err := observe(c, m, p, sketches); err != nil {
		return err
	}
	c.Ranges = pass.Ranges{}
	for _, name := range slices.Sorted(maps.Keys(sketches)) {
		choice, err := sketches[name].Choose(calibrate.Options{Method: method, Format: format, Percent: c.Settings.Quant.Percentile})
		if err != nil {
			return fmt.Errorf("value %s: %w", name, err)
		}
		c.Ranges[name] = pass.Range{Choice: choice, Unbounded: unbounded(sketches[name], choice), Sketch: sketches[name]}
	}
	return nil
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

// observe runs the model on all samples; each sample is one observation of
// every value that the plan quantizes.
func observe(c *pass.Context, m *graph.Model, p *plan, sketches map[string]*calibrate.Sketch) error {
	rows := 0
	see := func(v *graph.Value, x tensor.Value) {
		t, ok := x.(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 {
			return
		}
		s := sketches[v.Name]
		if s == nil {
			s = &calibrate.Sketch{}
			sketches[v.Name] = s
		}
		d, n := t.Float32s(), 1
		if t.Rank() > 0 && t.Shape[0] >= rows && len(d)%max(t.Shape[0], 1) == 0 {
			n = max(t.Shape[0], 1)
		}
		for i := range min(n, max(rows, 1)) { // rows beyond were only filled up
			s.Add(d[i*len(d)/n : (i+1)*len(d)/n])
		}
	}
	return sweep(c, m, p.values, see, &rows, c.Progress)
}

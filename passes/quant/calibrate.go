package quant

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
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
	p := newPlan(m, c.Settings.Quant, c.Shapes(), func(*graph.Node, string, ...any) {})
	ranges := map[string]pass.Range{}
	observe := func(v *graph.Value, x tensor.Value) {
		t, ok := x.(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 || t.Len() == 0 {
			return
		}
		d := t.Float32s()
		r, seen := ranges[v.Name]
		if !seen {
			r = pass.Range{Min: d[0], Max: d[0]}
		}
		for _, y := range d {
			r.Min, r.Max = min(r.Min, y), max(r.Max, y)
		}
		ranges[v.Name] = r
	}
	s, err := runtime.Compile(m, runtime.Options{Threads: c.Settings.Threads, Observe: observe, Watch: p.values})
	if err != nil {
		return err
	}
	size := pass.BatchSize(c.Samples, c.Settings.Quant.BatchSize)
	total := c.Samples.Len()
	for at := 0; at < total; at += size {
		in, err := c.Samples.Values(at, min(at+size, total))
		if err != nil {
			return err
		}
		for i, v := range m.Graph.Inputs() {
			if i < len(in) && in[i] != nil && p.values[v] {
				observe(v, in[i])
			}
		}
		if _, err := s.Run(c, in); err != nil {
			return err
		}
		c.Progress(min(at+size, total), total)
	}
	c.Ranges = ranges
	return nil
}

package layerwise

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
	"onnxopt/runtime/calibrate"
)

// Sweep runs the model on a span of the samples; see gets the float32 values
// to watch, graph inputs among them, of each batch, some of them held with
// axis 1 last. It must not keep them.
func Sweep(c *pass.Context, m *graph.Model, span calibrate.Span, watch map[*graph.Value]bool, see func(b *Batch, v *graph.Value, t *tensor.Tensor, last bool), progress func(done, total int)) error {
	var b Batch
	observe := func(last bool) func(*graph.Value, tensor.Value) {
		return func(v *graph.Value, x tensor.Value) {
			if t, ok := x.(*tensor.Tensor); ok && t.Type == tensor.Float32 {
				see(&b, v, t, last)
			}
		}
	}
	o := runtime.Options{Threads: c.Settings.Threads, Watch: watch, Observe: observe(false), ObserveLast: observe(true), Glance: true}
	s, err := runtime.Compile(m, o)
	if err != nil {
		return err
	}
	size, err := c.BatchSize()
	if err != nil {
		return err
	}
	for at := span.First; at < span.End; at += size {
		to := min(at+size, span.End)
		in, err := c.Values(m, at, to)
		if err != nil {
			return err
		}
		b.rows, b.size = to-at, max(c.Samples.BatchSize(), to-at)
		for i, v := range m.Graph.Inputs() {
			if i < len(in) && in[i] != nil && watch[v] {
				o.Observe(v, in[i])
			}
		}
		if _, err := s.Run(c, in); err != nil {
			return err
		}
		progress(to-span.First, span.End-span.First)
	}
	return nil
}

// Batch is what a run has along axis 0: rows samples, filled up to size.
type Batch struct{ rows, size int }

// Of is in how many equal parts t holds the samples of a batch, 1 if it mixes
// them.
func (b *Batch) Of(t *tensor.Tensor) int {
	if t.Rank() == 0 || t.Shape[0] == 0 || t.Shape[0]%b.size != 0 {
		return 1
	}
	return b.size
}

// Parts is how many of them are samples, not filling.
func (b *Batch) Parts(t *tensor.Tensor) int { return min(b.Of(t), b.rows) }

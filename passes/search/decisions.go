package search

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/quant"
	"onnxopt/runtime"
	"onnxopt/runtime/compare"
)

// decided is the number of samples on which decisions are compared.
const decided = 200

// decide is the top class of each sample (each position of an output
// [samples, positions, classes]) of m's first output; nil if it has no classes.
func (t *trial) decide(m *graph.Model, device string) ([]int, error) {
	if len(t.chosen) == 0 || t.chosen[0] {
		return nil, nil
	}
	s, err := runtime.Compile(m, runtime.Options{Threads: t.c.Settings.Threads, Device: device})
	if err != nil {
		return nil, err
	}
	size, err := t.c.BatchSize()
	if err != nil {
		return nil, err
	}
	var classes []int
	total := min(decided, t.c.Samples.Len())
	for at := 0; at < total; at += size {
		to := min(at+size, total)
		in, err := t.c.Values(m, at, to)
		if err != nil {
			return nil, err
		}
		out, err := s.Run(t.c, in)
		if err != nil {
			return nil, err
		}
		y, ok := out[0].(*tensor.Tensor)
		if !ok || !y.Type.IsFloat() || y.Rank() != 2 && y.Rank() != 3 || y.Shape[0] < to-at || y.Shape[y.Rank()-1] < 2 {
			return nil, nil
		}
		k := y.Shape[y.Rank()-1]
		v := y.Float32s()[:(to-at)*(y.Len()/y.Shape[0])]
		for ; len(v) > 0; v = v[k:] {
			classes = append(classes, compare.Top(v[:k]))
		}
	}
	return classes, nil
}

// lost is the points of top-1 that the copy without the layers of skip loses,
// without labels the points of agreement with the float model.
func (t *trial) lost(skip []string) (float64, error) {
	m, err := t.quantized(skip, quant.Insert, quant.Weights)
	if err != nil {
		return 0, err
	}
	mine, err := t.decide(m, t.c.Settings.Device)
	if err != nil {
		return 0, fmt.Errorf("trial: %w", err)
	}
	labels := t.c.Labels
	wrong := 0
	for i, class := range t.classes {
		switch same := i < len(mine) && mine[i] == class; {
		case len(labels) < len(t.classes):
			if !same {
				wrong++
			}
		case !same && class == labels[i]:
			wrong++
		case !same && i < len(mine) && mine[i] == labels[i]:
			wrong--
		}
	}
	return 100 * float64(wrong) / float64(max(len(t.classes), 1)), nil
}

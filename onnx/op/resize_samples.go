package op

import (
	"errors"
	"slices"

	"onnxopt/onnx/tensor"
)

// AxisSamples is what a Resize does along one axis: output i is the sum of Weights[i][j]
// times the elements From[i][j] of the input. One element of weight 1 is a copy.
type AxisSamples struct {
	Axis    int
	From    [][]int
	Weights [][]float32
}

// ResizeSamples is the axes that a Resize changes, one after the other. It is
// an error where the node is not valid for these inputs, or fills in what lies beyond the input.
func ResizeSamples(a *Attrs, in []tensor.Value) ([]AxisSamples, error) {
	e := &Eval{Attrs: *a, In: in}
	x := e.Tensor(0)
	axes, err := resizeAxes(a, x.Rank())
	if err != nil {
		return nil, err
	}
	steps, err := e.resizeSteps(x, axes)
	if err != nil {
		return nil, err
	}
	r := e.resampler()
	var out []AxisSamples
	for _, s := range steps {
		if s.identity() {
			continue
		}
		samples, err := r.samples(s)
		if err != nil {
			return nil, err
		}
		out = append(out, samples)
	}
	return out, nil
}

func (r *resampler) samples(s resizeStep) (AxisSamples, error) {
	out := AxisSamples{Axis: s.axis, From: make([][]int, s.out), Weights: make([][]float32, s.out)}
	for i := range s.out {
		if r.mode == "nearest" {
			n, outside, err := r.nearestOf(s, i)
			if err != nil || outside {
				return out, errors.Join(err, errOutside)
			}
			out.From[i], out.Weights[i] = []int{n}, []float32{1}
			continue
		}
		t, err := r.tapOf(s, i)
		if err != nil || t.outside {
			return out, errors.Join(err, errOutside)
		}
		for j, w := range t.weights {
			from := min(max(t.first+j, 0), s.in-1)
			if k := slices.Index(out.From[i], from); k >= 0 {
				out.Weights[i][k] += float32(w)
			} else if w != 0 {
				out.From[i], out.Weights[i] = append(out.From[i], from), append(out.Weights[i], float32(w))
			}
		}
	}
	return out, nil
}

var errOutside = errors.New("an output lies beyond the input")

// nearestOf is the element nearest to output position i.
func (r *resampler) nearestOf(s resizeStep, i int) (n int, outside bool, err error) {
	p, outside, err := r.position(s, i)
	if err != nil {
		return 0, false, err
	}
	mode := r.nearest
	if mode == "" { // left open by opset 10; as onnxruntime does
		mode = "floor"
		if s.scale < 1 {
			mode = "ceil"
		}
	}
	n, err = nearestIndex(p, mode)
	return min(max(n, 0), s.in-1), outside, err
}

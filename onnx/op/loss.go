package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// inferLoss is the shape rule of losses: that of the target without a
// reduction, else a scalar.
func inferLoss(f *Infer) error {
	x, ok := f.Shape(0)
	target, ok2 := f.Shape(1)
	if ok && (len(x) < 2 || ok2 && len(target) != len(x)-1) {
		return fmt.Errorf("input %v and target %v", f.Type(0), f.Type(1))
	}
	if ok {
		f.Set(1, x...) // the log probabilities of SoftmaxCrossEntropyLoss
	}
	switch {
	case f.Str("reduction") != "none":
		f.Set(0)
	case ok2:
		f.Set(0, target...)
	case ok:
		f.Set(0, slices.Concat([]dim.Dim{x[0]}, x[2:])...)
	}
	return nil
}

// classes is the geometry of a loss: logits [batch, classes, inner...] and
// targets [batch, inner...].
type classes struct {
	batch, classes, inner int
	shape                 []int // of the targets
}

func newClasses(x, target *tensor.Tensor) (classes, error) {
	if x.Rank() < 2 || !slices.Equal(target.Shape, slices.Concat(x.Shape[:1], x.Shape[2:])) {
		return classes{}, fmt.Errorf("input %v and target %v", x, target)
	}
	return classes{x.Shape[0], x.Shape[1], volume(x.Shape[2:]), target.Shape}, nil
}

// negativeLogLikelihood sets output 0 to the loss of log probabilities logp
// for targets, inputs 1, with weights, input 2:
// l = -logp[target]*weight[target], and 0 where target is ignore_index. The
// mean is sum(l) over the sum of the weights of targets that are not ignored.
func (e *Eval) negativeLogLikelihood(c classes, t tensor.DType, logp []float64) error {
	target, weight := e.Tensor(1).Ints(), slices.Repeat([]float64{1}, c.classes)
	if w := e.Tensor(2); w != nil {
		if w.Len() != c.classes {
			return fmt.Errorf("weight %v for %d classes", w, c.classes)
		}
		weight = w.Floats()
	}
	ignores, ignored := e.Has("ignore_index"), int64(e.Int("ignore_index"))
	loss, total, weights := make([]float64, len(target)), 0.0, 0.0
	for i, k := range target {
		if ignores && k == ignored {
			continue
		}
		if k < 0 || k >= int64(c.classes) {
			return fmt.Errorf("target %d of %d classes", k, c.classes)
		}
		at := (i/c.inner*c.classes+int(k))*c.inner + i%c.inner
		loss[i] = -logp[at] * weight[k]
		total, weights = total+loss[i], weights+weight[k]
	}
	switch reduction := e.Str("reduction"); reduction {
	case "none":
		e.Set(0, tensor.FromFloats(t, c.shape, loss))
	case "sum":
		e.Set(0, tensor.FromFloats(t, nil, []float64{total}))
	case "mean":
		e.Set(0, tensor.FromFloats(t, nil, []float64{total / weights}))
	default:
		return fmt.Errorf("reduction %q", reduction)
	}
	return nil
}

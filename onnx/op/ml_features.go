package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// features is the input of an ai.onnx.ml operator as a matrix: [N,F], or [F]
// as one row.
type features struct {
	n, f int
	v    []float64
}

func featuresOf(x *tensor.Tensor) (features, error) {
	switch x.Rank() {
	case 0:
		return features{}, fmt.Errorf("input %v has no features", x)
	case 1:
		return features{1, x.Shape[0], x.Floats()}, nil
	}
	return features{x.Shape[0], volume(x.Shape[1:]), x.Floats()}, nil
}

func (m *features) row(i int) []float64 { return m.v[i*m.f : (i+1)*m.f] }

// rowsDim is the number of rows that features gives.
func rowsDim(f *Infer) dim.Dim {
	switch s, ok := f.Shape(0); {
	case !ok || len(s) == 0:
		return dim.Unknown
	case len(s) == 1:
		return dim.Of(1)
	default:
		return s[0]
	}
}

// classLabels is the labels of a classifier, of one of the two kinds.
type classLabels struct {
	ints    []int64
	strings []string
}

func labelsOf(a *Attrs, ints, strings string) classLabels {
	l := classLabels{strings: a.Strings(strings)}
	if x := a.Attr(ints); x != nil && len(l.strings) == 0 {
		l.ints = x.Ints
	}
	return l
}

func (l classLabels) len() int { return len(l.ints) + len(l.strings) }

func (l classLabels) dtype() tensor.DType {
	if len(l.strings) > 0 {
		return tensor.String
	}
	return tensor.Int64
}

// binary is the labels of a decision with one score: those given, or 0 and 1
// where there are not two.
func (l classLabels) binary() classLabels {
	switch {
	case l.len() == 2:
		return l
	case len(l.strings) > 0:
		return classLabels{strings: []string{"0", "1"}}
	}
	return classLabels{ints: []int64{0, 1}}
}

// pick is the tensor of the labels with the indices.
func (l classLabels) pick(which []int) (*tensor.Tensor, error) {
	ints, strings := make([]int64, len(which)), make([]string, len(which))
	for i, k := range which {
		switch {
		case k < 0 || k >= l.len():
			return nil, fmt.Errorf("class %d of %d labels", k, l.len())
		case len(l.strings) > 0:
			strings[i] = l.strings[k]
		default:
			ints[i] = l.ints[k]
		}
	}
	if len(l.strings) > 0 {
		return tensor.FromStrings([]int{len(which)}, strings)
	}
	return tensor.Vector(ints...), nil
}

// inferClassifier is the shape rule of classifiers with the given number of
// score columns.
func inferClassifier(f *Infer, l classLabels, columns dim.Dim) {
	n := rowsDim(f)
	f.SetElem(0, l.dtype())
	f.Set(0, n)
	f.Set(1, n, columns)
}

// postTransform applies the attribute post_transform to the scores of one row.
func postTransform(name string, v []float64) error {
	switch name {
	case "", "NONE":
	case "LOGISTIC":
		for i := range v {
			v[i] = sigmoid(v[i])
		}
	case "SOFTMAX":
		softmax(v)
	case "SOFTMAX_ZERO":
		softmaxZero(v)
	case "PROBIT":
		for i := range v {
			v[i] = math.Sqrt2 * math.Erfinv(2*v[i]-1)
		}
	default:
		return fmt.Errorf("post_transform %q", name)
	}
	return nil
}

// softmaxZero is softmax over the scores that are not zero; zeros stay.
func softmaxZero(v []float64) {
	top, sum := maxFloats(v), 0.0
	for i, x := range v {
		if math.Abs(x) > 1e-7 {
			v[i] = math.Exp(x - top)
		} else {
			v[i] = x * math.Exp(-top)
		}
		sum += v[i]
	}
	for i := range v {
		if sum == 0 {
			v[i] = 0.5
		} else {
			v[i] /= sum
		}
	}
}

// bothClasses is the output for the negative and positive class of a decision
// with one score: LOGISTIC maps the score and its opposite; otherwise they are
// the score and its complement if it is a probability, else its opposite. The
// standard leaves this open; this is what onnxruntime does.
func bothClasses(score float64, probability bool, transform string) []float64 {
	switch {
	case transform == "LOGISTIC":
		return []float64{sigmoid(-score), sigmoid(score)}
	case probability:
		return []float64{1 - score, score}
	}
	return []float64{-score, score}
}

func argMax(v []float64) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

// float64s widens an attribute.
func float64s(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, x := range a {
		s += x * b[i]
	}
	return s
}

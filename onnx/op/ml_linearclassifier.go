package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlLinearClassifier = &Def{
	Name:   "LinearClassifier",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T1 -> Y:T2 Z:float | classlabels_ints:ints classlabels_strings:strings coefficients:floats! intercepts:floats multi_class:int=0 post_transform:string="NONE" | T1: float double int64 int32; T2: string int64`},
	},
	Infer: inferLinearClassifier,
	Eval:  evalLinearClassifier,
}

func inferLinearClassifier(f *Infer) error {
	l := labelsOf(&f.Attrs, "classlabels_ints", "classlabels_strings")
	columns := dim.Unknown
	if n := len(f.Attrs.Floats("intercepts")); n > 1 {
		columns = dim.Of(int64(n))
	} else if n == 1 && l.len() == 2 {
		columns = dim.Of(2)
	}
	inferClassifier(f, l, columns)
	return nil
}

// evalLinearClassifier scores each class linearly. One score with two labels
// decides by its sign, and stands for both classes.
func evalLinearClassifier(e *Eval) error {
	m, err := featuresOf(e.Tensor(0))
	if err != nil {
		return err
	}
	if m.f == 0 {
		return fmt.Errorf("no features")
	}
	l := labelsOf(&e.Attrs, "classlabels_ints", "classlabels_strings")
	s, err := linearScores(e, m, len(e.Attrs.Floats("coefficients"))/m.f)
	if err != nil {
		return err
	}
	columns, post := s.f, e.Str("post_transform")
	if s.f == 1 && l.len() == 2 && post != "PROBIT" {
		columns = 2
	}
	if s.f == 1 {
		l = l.binary()
	}
	which, z := make([]int, s.n), []float64{}
	for i := range s.n {
		row := s.row(i)
		which[i] = argMax(row)
		if s.f == 1 && row[0] > 0 {
			which[i] = 1
		}
		if columns > s.f {
			row = bothClasses(row[0], true, post)
		} else if err := postTransform(post, row); err != nil {
			return err
		}
		z = append(z, row...)
	}
	y, err := l.pick(which)
	if err != nil {
		return err
	}
	e.Set(0, y)
	e.Set(1, tensor.FromFloats(tensor.Float32, []int{s.n, columns}, z))
	return nil
}

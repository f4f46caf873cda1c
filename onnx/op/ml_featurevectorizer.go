package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlFeatureVectorizer = &Def{
	Name:   "FeatureVectorizer",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X+:T1 -> Y:float | inputdimensions:ints | T1: int32 int64 float double`},
	},
	Infer: inferFeatureVectorizer,
	Eval:  evalFeatureVectorizer,
}

func inferFeatureVectorizer(f *Infer) error {
	columns := dim.Unknown
	if sizes := f.Attrs.Ints("inputdimensions"); len(sizes) > 0 {
		columns = dim.Of(0)
		for _, n := range sizes {
			columns = columns.Add(dim.Of(int64(n)))
		}
	}
	f.Set(0, rowsDim(f), columns)
	return nil
}

// evalFeatureVectorizer concatenates rows: input k gives inputdimensions[k]
// columns, cut or padded with zeros.
func evalFeatureVectorizer(e *Eval) error {
	in, sizes := e.Tensors(0), e.Attrs.Ints("inputdimensions")
	if len(sizes) != len(in) {
		return fmt.Errorf("%d inputdimensions for %d inputs", len(sizes), len(in))
	}
	total := 0
	for _, n := range sizes {
		if n < 0 {
			return fmt.Errorf("inputdimensions %v", sizes)
		}
		total += n
	}
	first, err := featuresOf(in[0])
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Float64, []int{first.n, total}); err != nil {
		return err
	}
	y, at := make([]float64, first.n*total), 0
	for k, t := range in {
		m, err := featuresOf(t)
		if err != nil || m.n != first.n {
			return fmt.Errorf("input %v for %d rows", t, first.n)
		}
		for i := range m.n {
			copy(y[i*total+at:i*total+at+sizes[k]], m.row(i))
		}
		at += sizes[k]
	}
	e.Set(0, tensor.FromFloats(tensor.Float32, []int{first.n, total}, y))
	return nil
}

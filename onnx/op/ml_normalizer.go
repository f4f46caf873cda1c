package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opMlNormalizer = &Def{
	Name:   "Normalizer",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:float | norm:string="MAX" | T: float double int64 int32`},
	},
	Infer: sameShape,
	Eval:  evalNormalizer,
}

// evalNormalizer divides each row by its largest element, its sum of
// magnitudes or its Euclidean norm; rows whose divisor is zero stay.
func evalNormalizer(e *Eval) error {
	x := e.Tensor(0)
	m, err := featuresOf(x)
	if err != nil {
		return err
	}
	for i := range m.n {
		row, by := m.row(i), 0.0
		switch norm := e.Str("norm"); norm {
		case "MAX":
			by = maxFloats(row)
		case "L1":
			by = absSum(row)
		case "L2":
			by = math.Sqrt(sumSquares(row))
		default:
			return fmt.Errorf("norm %q", norm)
		}
		for k := range row {
			if by != 0 {
				row[k] /= by
			}
		}
	}
	e.Set(0, tensor.FromFloats(tensor.Float32, x.Shape, m.v))
	return nil
}

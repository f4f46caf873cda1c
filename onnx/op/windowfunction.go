package op

import (
	"math"

	"onnxopt/onnx/tensor"
)

// windowFunction completes d as a generalized cosine window of size points:
// w[n] = a0 - a1*cos(2*pi*n/N) + a2*cos(4*pi*n/N), where N is size for a
// periodic window and size-1 for a symmetric one.
func windowFunction(d *Def, a0, a1, a2 float64) *Def {
	d.Infer = func(f *Infer) error {
		if err := f.setElemAttr("output_datatype"); err != nil {
			return err
		}
		f.Set(0, f.size(0))
		return nil
	}
	d.Eval = func(e *Eval) error {
		n, err := e.scalarInt(0)
		if err != nil {
			return err
		}
		typ, err := e.fitsNumeric("output_datatype", []int{n})
		if err != nil {
			return err
		}
		period := float64(n)
		if e.Int("periodic") == 0 {
			period--
		}
		v := make([]float64, n)
		for i := range v {
			angle := 2 * math.Pi * float64(i) / period
			v[i] = a0 - a1*math.Cos(angle) + a2*math.Cos(2*angle)
		}
		e.Set(0, tensor.FromFloats(typ, []int{n}, v))
		return nil
	}
	return d
}

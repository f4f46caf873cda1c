package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
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

// fitsNumeric is the real element type that an attribute names; it fails if
// the shape is too large for computing it in float64.
func (e *Eval) fitsNumeric(attr string, shape []int) (tensor.DType, error) {
	t, err := e.elemType(attr)
	if err == nil && !t.IsFloat() && !t.IsInt() && t != tensor.Bool {
		err = fmt.Errorf("%s %v", attr, t)
	}
	if err != nil {
		return 0, err
	}
	return t, e.Fits(tensor.Float64, shape)
}

// scalarInt is integer input i, of one element.
func (e *Eval) scalarInt(i int) (int, error) {
	t := e.Tensor(i)
	if !t.Type.IsInt() || t.Len() != 1 {
		return 0, fmt.Errorf("input %d is %v, want one integer", i, t)
	}
	return int(t.Ints()[0]), nil
}

// scalarFloat is numeric input i, of one element.
func (e *Eval) scalarFloat(i int) (float64, error) {
	t := e.Tensor(i)
	if !t.Type.IsFloat() && !t.Type.IsInt() || t.Len() != 1 {
		return 0, fmt.Errorf("input %d is %v, want one number", i, t)
	}
	return t.Floats()[0], nil
}

// size is integer input i of one element as a size; unknown if it is not known
// or negative.
func (f *Infer) size(i int) dim.Dim {
	d, ok := f.InData(i)
	if !ok || len(d) != 1 {
		return dim.Unknown
	}
	if n, isConst := d[0].Const(); isConst && n < 0 {
		return dim.Unknown
	}
	return d[0]
}

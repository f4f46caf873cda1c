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
		typ := tensor.DType(e.Int("output_datatype"))
		if err := e.fitsNumeric(typ, []int{n}); err != nil {
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

// fitsNumeric is Fits for a tensor of a real type that an attribute names and
// that is computed in float64 first.
func (e *Eval) fitsNumeric(t tensor.DType, shape []int) error {
	if !t.IsFloat() && !t.IsInt() && t != tensor.Bool {
		return fmt.Errorf("element type %v", t)
	}
	return e.Fits(tensor.Float64, shape)
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

// setElemAttr sets the element type of output 0 from an attribute.
func (f *Infer) setElemAttr(name string) error {
	t := tensor.DType(f.Int(name))
	if int(t) != f.Int(name) || !t.Valid() {
		return fmt.Errorf("%s %d", name, f.Int(name))
	}
	f.SetElem(0, t)
	return nil
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

package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// elemType is an attribute that names an element type by its number.
func (a *Attrs) elemType(name string) (tensor.DType, error) {
	t := tensor.DType(a.Int(name))
	if int(t) != a.Int(name) || !t.Valid() {
		return 0, fmt.Errorf("%s: no element type %d", name, a.Int(name))
	}
	return t, nil
}

// setElemAttr sets the element type of output 0 from an attribute.
func (f *Infer) setElemAttr(name string) error {
	t, err := f.elemType(name)
	f.SetElem(0, t)
	return err
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

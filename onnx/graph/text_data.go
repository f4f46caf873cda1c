package graph

import (
	"math"
	"strconv"
	"strings"

	"onnxopt/onnx/tensor"
)

// textElements is how many elements of a tensor are written unless Full.
const textElements = 64

// data writes a stored tensor: type, name if it has one, equals, elements.
func (p *printer) data(d *Data, name, equals string) {
	t := d.Tensor
	if d.Sparse != nil {
		t = d.Sparse.Values
		p.valueType(Type{Kind: SparseKind, Elem: t.Type, Ranked: true, Shape: Dims(d.Sparse.Shape)})
	} else {
		p.valueType(TypeOf(t))
	}
	if name != "" {
		p.add(" ", identifier(name))
	}
	p.add(equals)
	p.elements(t)
	if d.Sparse != nil {
		p.add(" ")
		p.valueType(TypeOf(d.Sparse.Indices))
		p.add(" ")
		p.elements(d.Sparse.Indices)
	}
}

func (p *printer) elements(t *tensor.Tensor) {
	n := t.Len()
	end := "}"
	if n > textElements && !p.full {
		n, end = textElements/8, ", ...}"
	}
	text := elementText(t)
	p.list(n, "{", ",", end, func(i int) { p.add(text(i)) })
}

// elementText gives element i of t. Floats of 16, 8 and 4 bits are written by
// their bits, as the syntax wants; Parse also takes values, if one of them is
// written as a float.
func elementText(t *tensor.Tensor) func(i int) string {
	switch t.Type {
	case tensor.String:
		return func(i int) string { return quoted(t.Strings()[i]) }
	case tensor.Float32:
		v := tensor.View[float32](t)
		return func(i int) string { return floatText(float64(v[i]), 32) }
	case tensor.Float64:
		v := tensor.View[float64](t)
		return func(i int) string { return floatText(v[i], 64) }
	case tensor.Complex64, tensor.Complex128:
		v, bits := t.Complexes(), t.Type.Bits()/2
		return func(i int) string { return floatText(real(v[i]), bits) + "," + floatText(imag(v[i]), bits) }
	case tensor.Uint64:
		v := tensor.View[uint64](t)
		return func(i int) string { return strconv.FormatUint(v[i], 10) }
	}
	if t.Type.IsFloat() {
		bits := map[int]tensor.DType{16: tensor.Uint16, 8: tensor.Uint8, 4: tensor.Uint4}[t.Type.Bits()]
		if bits == tensor.Undefined { // 6 bits
			v := t.Floats()
			return func(i int) string { return floatText(v[i], 32) }
		}
		t = t.As(bits)
	}
	v := t.Ints()
	return func(i int) string { return strconv.FormatInt(v[i], 10) }
}

// floatText always looks like a float and reads back exactly.
func floatText(x float64, bits int) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(x, 'g', -1, 64)), "+")
	}
	s := strconv.FormatFloat(x, 'g', -1, bits)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

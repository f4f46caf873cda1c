package graph

import (
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// Kind is the form of a value.
type Kind uint8

const (
	UnknownKind Kind = iota
	TensorKind
	SparseKind
	SequenceKind
	OptionalKind
	MapKind
	OpaqueKind
)

// Type is a TypeProto, possibly with symbolic or unknown parts. The zero Type
// is unknown.
type Type struct {
	Kind   Kind
	Elem   tensor.DType // of a tensor; key type of a map
	Ranked bool         // Shape is meaningful
	Shape  []dim.Dim
	Of     *Type // element of a sequence or optional, value of a map
	// Wire is the TypeProto as the file has it. It is written back as it is;
	// clear it when the type changes. Types that inference makes have none.
	Wire []byte
}

// TensorOf is a tensor type; with no dims it is a scalar.
func TensorOf(elem tensor.DType, shape ...dim.Dim) Type {
	return Type{Kind: TensorKind, Elem: elem, Ranked: true, Shape: shape}
}

// Unranked is a tensor type of unknown rank.
func Unranked(elem tensor.DType) Type { return Type{Kind: TensorKind, Elem: elem} }

// SequenceOf is the type of sequences of e.
func SequenceOf(e Type) Type { return Type{Kind: SequenceKind, Of: &e} }

// OptionalOf is the type of optionals of e.
func OptionalOf(e Type) Type { return Type{Kind: OptionalKind, Of: &e} }

// TypeOf is the exact type of a run-time tensor.
func TypeOf(t *tensor.Tensor) Type {
	return TensorOf(t.Type, Dims(t.Shape)...)
}

// Dims makes constant dims.
func Dims(shape []int) []dim.Dim {
	d := make([]dim.Dim, len(shape))
	for i, s := range shape {
		d[i] = dim.Of(int64(s))
	}
	return d
}

// Known reports that the kind is known.
func (t Type) Known() bool { return t.Kind != UnknownKind }

// Rank is the number of dimensions, -1 if unknown.
func (t Type) Rank() int {
	if !t.Ranked {
		return -1
	}
	return len(t.Shape)
}

// Static is the shape if every dim is constant.
func (t Type) Static() ([]int, bool) {
	if !t.Ranked {
		return nil, false
	}
	out := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		n, ok := d.Const()
		if !ok || n < 0 || int64(int(n)) != n {
			return nil, false
		}
		out[i] = int(n)
	}
	return out, true
}

// Equal reports the same known type with the same dims; unknown dims equal
// unknown dims.
func (t Type) Equal(o Type) bool {
	if t.Kind != o.Kind || t.Elem != o.Elem || t.Ranked != o.Ranked || (t.Of == nil) != (o.Of == nil) {
		return false
	}
	return (t.Of == nil || t.Of.Equal(*o.Of)) && slices.EqualFunc(t.Shape, o.Shape, func(a, b dim.Dim) bool {
		return a.Equal(b) || !a.Known() && !b.Known()
	})
}

// Conflict reports that no run-time value can have both types.
func (t Type) Conflict(o Type) bool {
	if !t.Known() || !o.Known() {
		return false
	}
	if t.Kind != o.Kind || t.Elem != o.Elem && t.Elem != 0 && o.Elem != 0 {
		return true
	}
	if t.Of != nil && o.Of != nil {
		return t.Of.Conflict(*o.Of)
	}
	if !t.Ranked || !o.Ranked {
		return false
	}
	if len(t.Shape) != len(o.Shape) {
		return true
	}
	for i, d := range t.Shape {
		if d.Conflict(o.Shape[i]) {
			return true
		}
	}
	return false
}

// Refine adds what o knows and t does not: o is another description of the
// same value. Where both know a dim, a constant wins, else t's.
func (t Type) Refine(o Type) Type {
	if !t.Known() {
		return o
	}
	if t.Kind != o.Kind {
		return t
	}
	if t.Elem == 0 {
		t.Elem = o.Elem
	}
	if t.Of != nil && o.Of != nil {
		r := t.Of.Refine(*o.Of)
		t.Of = &r
	}
	switch {
	case !o.Ranked:
	case !t.Ranked:
		t.Ranked, t.Shape = true, o.Shape
	case len(t.Shape) == len(o.Shape):
		shape := slices.Clone(t.Shape)
		for i, d := range o.Shape {
			_, c := shape[i].Const()
			_, oc := d.Const()
			if !shape[i].Known() || oc && !c {
				shape[i] = d
			}
		}
		t.Shape = shape
	}
	t.Wire = nil
	return t
}

// Join is what holds for a value that has either type: the result of both
// branches of an If.
func (t Type) Join(o Type) Type {
	if t.Kind != o.Kind || t.Elem != o.Elem {
		return Type{}
	}
	j := Type{Kind: t.Kind, Elem: t.Elem}
	if t.Of != nil && o.Of != nil {
		of := t.Of.Join(*o.Of)
		j.Of = &of
	}
	if t.Ranked && o.Ranked && len(t.Shape) == len(o.Shape) {
		j.Ranked, j.Shape = true, slices.Clone(t.Shape)
		for i := range j.Shape {
			if !j.Shape[i].Equal(o.Shape[i]) {
				j.Shape[i] = dim.Unknown
			}
		}
	}
	return j
}

// String is the type in the ONNX text syntax: float[N,3,224,224],
// seq(float[2]), int64 for a scalar, float[] for an unknown rank; "?" if
// nothing is known.
func (t Type) String() string {
	if !t.Known() {
		return "?"
	}
	p := &printer{}
	p.valueType(t)
	return p.Builder.String()
}

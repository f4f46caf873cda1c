package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// LoadValue reads a sample file: a TensorProto, SparseTensorProto,
// SequenceProto, OptionalProto or MapProto, as the kind of the graph input
// says. It also gives the name that the file has. The result aliases b.
func LoadValue(b []byte, kind graph.Kind) (tensor.Value, string, error) {
	r := &reader{}
	switch kind {
	case graph.SequenceKind:
		p := &onnxpb.SequenceProto{}
		return loaded(b, p, p.GetName, func() (tensor.Value, error) { return r.sequenceValue(p) })
	case graph.OptionalKind:
		p := &onnxpb.OptionalProto{}
		return loaded(b, p, p.GetName, func() (tensor.Value, error) { return r.optionalValue(p) })
	case graph.MapKind:
		p := &onnxpb.MapProto{}
		return loaded(b, p, p.GetName, func() (tensor.Value, error) { return r.mapValue(p) })
	case graph.SparseKind:
		p := &onnxpb.SparseTensorProto{}
		return loaded(b, p, func() string { return p.GetValues().GetName() }, func() (tensor.Value, error) { return r.sparseValue(p) })
	}
	p := &onnxpb.TensorProto{}
	return loaded(b, p, p.GetName, func() (tensor.Value, error) { return r.tensorValue(p) })
}

func loaded(b []byte, p proto.Message, name func() string, value func() (tensor.Value, error)) (tensor.Value, string, error) {
	if err := unmarshal(b, p); err != nil {
		return nil, "", fmt.Errorf("not a %s: malformed protobuf", p.ProtoReflect().Descriptor().Name())
	}
	n := name()
	v, err := value()
	if err != nil {
		return nil, "", err
	}
	return v, n, nil
}

func (r *reader) tensorValue(p *onnxpb.TensorProto) (tensor.Value, error) {
	d, err := r.data(p)
	if err != nil {
		return nil, err
	}
	return d.Tensor, nil
}

func (r *reader) sparseValue(p *onnxpb.SparseTensorProto) (tensor.Value, error) {
	d, err := r.sparse(p)
	if err != nil {
		return nil, err
	}
	return d.Sparse, nil
}

func (r *reader) sequenceValue(p *onnxpb.SequenceProto) (*tensor.Sequence, error) {
	s := &tensor.Sequence{}
	add := func(v tensor.Value, err error) error {
		if t, ok := v.(*tensor.Tensor); ok && err == nil {
			s.Elem = t.Type
		}
		s.Items = append(s.Items, v)
		return err
	}
	for _, q := range p.GetTensorValues() {
		if err := add(r.tensorValue(q)); err != nil {
			return nil, err
		}
	}
	for _, q := range p.GetSparseTensorValues() {
		if err := add(r.sparseValue(q)); err != nil {
			return nil, err
		}
	}
	for _, q := range p.GetSequenceValues() {
		v, err := r.sequenceValue(q)
		if err := add(v, err); err != nil {
			return nil, err
		}
	}
	for _, q := range p.GetMapValues() {
		v, err := r.mapValue(q)
		if err := add(v, err); err != nil {
			return nil, err
		}
	}
	for _, q := range p.GetOptionalValues() {
		v, err := r.optionalValue(q)
		if err := add(v, err); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (r *reader) optionalValue(p *onnxpb.OptionalProto) (*tensor.Optional, error) {
	var v tensor.Value
	var err error
	switch {
	case p.TensorValue != nil:
		v, err = r.tensorValue(p.TensorValue)
	case p.SparseTensorValue != nil:
		v, err = r.sparseValue(p.SparseTensorValue)
	case p.SequenceValue != nil:
		v, err = r.sequenceValue(p.SequenceValue)
	case p.MapValue != nil:
		v, err = r.mapValue(p.MapValue)
	case p.OptionalValue != nil:
		v, err = r.optionalValue(p.OptionalValue)
	}
	if err != nil {
		return nil, err
	}
	return &tensor.Optional{Value: v}, nil
}

func (r *reader) mapValue(p *onnxpb.MapProto) (*tensor.Map, error) {
	m := &tensor.Map{Keys: tensor.Vector(p.Keys...)}
	if len(p.StringKeys) > 0 {
		m.Keys, _ = tensor.FromStrings([]int{len(p.StringKeys)}, texts(p.StringKeys))
	}
	values, err := r.sequenceValue(p.GetValues())
	if err != nil {
		return nil, err
	}
	n := m.Keys.Len()
	if len(values.Items) != n {
		return nil, fmt.Errorf("map of %d keys and %d values", n, len(values.Items))
	}
	var b []byte
	var s []string
	for _, v := range values.Items {
		t, ok := v.(*tensor.Tensor)
		if !ok || t.Len() != 1 || t.Type != values.Elem || t.Type.Bits()%8 != 0 {
			return nil, fmt.Errorf("map values that are not scalars of one type")
		}
		b, s = append(b, t.Bytes()...), append(s, t.Strings()...)
	}
	switch values.Elem {
	case tensor.Undefined: // no entries, so the type is not known
		m.Values = tensor.New(tensor.Float32, 0)
	case tensor.String:
		m.Values, err = tensor.FromStrings([]int{n}, s)
	default:
		m.Values, err = tensor.FromBytes(values.Elem, []int{n}, b)
	}
	return m, err
}

func texts(list [][]byte) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = string(b)
	}
	return out
}

// MarshalValue is the sample file of v, the inverse of LoadValue.
func MarshalValue(v tensor.Value, name string) ([]byte, error) {
	p, err := valueMessage(v, name)
	if err != nil {
		return nil, err
	}
	return marshal.Marshal(p)
}

func valueMessage(v tensor.Value, name string) (proto.Message, error) {
	switch v := v.(type) {
	case *tensor.Tensor:
		p := &onnxpb.TensorProto{}
		put(&p.Name, name)
		setTensor(p, v, graph.Raw)
		return p, nil
	case *tensor.Sparse:
		return sparseProto(&graph.Data{Sparse: v}, name), nil
	case *tensor.Sequence:
		p, err := sequenceProto(v.Items)
		if err == nil {
			put(&p.Name, name)
		}
		return p, err
	case *tensor.Map:
		return mapProto(v, name)
	case *tensor.Optional:
		return optionalProto(v, name)
	}
	return nil, fmt.Errorf("a value of type %T has no file form", v)
}

// Kinds of elements in SequenceProto and OptionalProto.
const (
	elemTensor = 1 + iota
	elemSparse
	elemSequence
	elemMap
	elemOptional
)

func sequenceProto(items []tensor.Value) (*onnxpb.SequenceProto, error) {
	s := &onnxpb.SequenceProto{}
	kind := int32(elemTensor) // also of an empty sequence
	for i, item := range items {
		m, err := valueMessage(item, "")
		if err != nil {
			return nil, err
		}
		k := int32(elemTensor)
		switch p := m.(type) {
		case *onnxpb.TensorProto:
			s.TensorValues = append(s.TensorValues, p)
		case *onnxpb.SparseTensorProto:
			k, s.SparseTensorValues = elemSparse, append(s.SparseTensorValues, p)
		case *onnxpb.SequenceProto:
			k, s.SequenceValues = elemSequence, append(s.SequenceValues, p)
		case *onnxpb.MapProto:
			k, s.MapValues = elemMap, append(s.MapValues, p)
		case *onnxpb.OptionalProto:
			k, s.OptionalValues = elemOptional, append(s.OptionalValues, p)
		}
		if i > 0 && k != kind {
			return nil, fmt.Errorf("sequence of elements of different kinds")
		}
		kind = k
	}
	s.ElemType = &kind
	return s, nil
}

func optionalProto(v *tensor.Optional, name string) (*onnxpb.OptionalProto, error) {
	p := &onnxpb.OptionalProto{ElemType: proto.Int32(0)}
	put(&p.Name, name)
	if v.Value == nil {
		return p, nil
	}
	m, err := valueMessage(v.Value, "")
	if err != nil {
		return nil, err
	}
	switch q := m.(type) {
	case *onnxpb.TensorProto:
		*p.ElemType, p.TensorValue = elemTensor, q
	case *onnxpb.SparseTensorProto:
		*p.ElemType, p.SparseTensorValue = elemSparse, q
	case *onnxpb.SequenceProto:
		*p.ElemType, p.SequenceValue = elemSequence, q
	case *onnxpb.MapProto:
		*p.ElemType, p.MapValue = elemMap, q
	case *onnxpb.OptionalProto:
		*p.ElemType, p.OptionalValue = elemOptional, q
	}
	return p, nil
}

func mapProto(v *tensor.Map, name string) (*onnxpb.MapProto, error) {
	p := &onnxpb.MapProto{KeyType: proto.Int32(int32(v.Keys.Type))}
	put(&p.Name, name)
	if v.Keys.Type == tensor.String {
		for _, s := range v.Keys.Strings() {
			p.StringKeys = append(p.StringKeys, []byte(s))
		}
	} else {
		p.Keys = v.Keys.Ints()
	}
	items := make([]tensor.Value, v.Values.Len())
	for i := range items {
		one, err := tensor.Gather(v.Values, nil, 1<<20, func(int) int { return i })
		if err != nil {
			return nil, err
		}
		items[i] = one
	}
	var err error
	p.Values, err = sequenceProto(items)
	return p, err
}

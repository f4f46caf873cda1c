package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// data reads a stored tensor. Sizes are checked against the bytes that are
// there before anything is allocated.
func (r *reader) data(p *onnxpb.TensorProto) (*graph.Data, error) {
	d := &graph.Data{Name: p.GetName(), Doc: p.GetDocString(), Metadata: props(p.MetadataProps), Extra: unknown(p)}
	t := tensor.DType(p.GetDataType())
	if v := p.GetDataType(); v < 0 || v > 255 || !t.Valid() {
		return nil, fmt.Errorf("unknown element type %d", v)
	}
	if p.Segment != nil {
		return nil, fmt.Errorf("segmented tensors are not supported")
	}
	shape, err := shapeOf(p.Dims)
	if err != nil {
		return nil, err
	}
	switch {
	case p.GetDataLocation() == 1:
		d.Layout = graph.External
		var b []byte
		if b, d.Location, err = r.external(p, t, shape); err == nil {
			d.Tensor, err = tensor.FromBytes(t, shape, b)
		}
	case p.RawData != nil:
		d.Tensor, err = tensor.FromBytes(t, shape, p.RawData)
	default:
		d.Layout = graph.Typed
		d.Tensor, err = typed(p, t, shape)
	}
	return d, err
}

func shapeOf(dims []int64) ([]int, error) {
	if len(dims) > maxRank {
		return nil, fmt.Errorf("tensor of rank %d", len(dims))
	}
	shape := make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || int64(int(d)) != d {
			return nil, fmt.Errorf("tensor dims %v", dims)
		}
		shape[i] = int(d)
	}
	return shape, nil
}

// typed reads the *_data fields.
func typed(p *onnxpb.TensorProto, t tensor.DType, shape []int) (*tensor.Tensor, error) {
	n, err := tensor.Count(shape)
	if err != nil {
		return nil, err
	}
	if t == tensor.String {
		s := make([]string, len(p.StringData))
		for i, b := range p.StringData {
			s[i] = string(b)
		}
		return tensor.FromStrings(shape, s)
	}
	size, err := tensor.ByteSize(t, shape)
	if err != nil {
		return nil, err
	}
	have, want := 0, n
	switch {
	case t == tensor.Float32:
		have = len(p.FloatData)
	case t.IsComplex():
		have, want = len(p.FloatData)+len(p.DoubleData), 2*n
	case t == tensor.Float64:
		have = len(p.DoubleData)
	case t == tensor.Int64:
		have = len(p.Int64Data)
	case t == tensor.Uint32 || t == tensor.Uint64:
		have = len(p.Uint64Data)
	case t.Bits() < 8: // packed into bytes, as raw_data is
		have, want = len(p.Int32Data), size
	default:
		have = len(p.Int32Data)
	}
	if have != want {
		return nil, fmt.Errorf("%v%v has %d elements, want %d", t, shape, have, want)
	}
	b := make([]byte, 0, size)
	switch t {
	case tensor.Float32, tensor.Complex64:
		for _, v := range p.FloatData {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	case tensor.Float64, tensor.Complex128:
		for _, v := range p.DoubleData {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	case tensor.Int64:
		for _, v := range p.Int64Data {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	case tensor.Uint32, tensor.Uint64:
		for _, v := range p.Uint64Data {
			b = appendWidth(b, v, t.Bits())
		}
	default:
		for _, v := range p.Int32Data {
			b = appendWidth(b, uint64(v), max(t.Bits(), 8))
		}
	}
	return tensor.FromBytes(t, shape, b)
}

func appendWidth(b []byte, v uint64, bits int) []byte {
	for i := 0; i < bits; i += 8 {
		b = append(b, byte(v>>i))
	}
	return b
}

func (r *reader) sparse(p *onnxpb.SparseTensorProto) (*graph.Data, error) {
	if p.Values == nil {
		return nil, fmt.Errorf("sparse tensor without values")
	}
	values, err := r.data(p.Values)
	if err != nil {
		return nil, err
	}
	indices := &graph.Data{Tensor: tensor.New(tensor.Int64, 0)}
	if p.Indices != nil {
		if indices, err = r.data(p.Indices); err != nil {
			return nil, err
		}
	}
	shape, err := shapeOf(p.Dims)
	if err != nil {
		return nil, err
	}
	wire, err := proto.Marshal(p)
	if err != nil {
		return nil, err
	}
	return &graph.Data{Name: values.Name, Extra: wire,
		Sparse: &tensor.Sparse{Shape: shape, Values: values.Tensor, Indices: indices.Tensor}}, nil
}

// tensorProto is the inverse of data. Raw bytes are aliased.
func tensorProto(d *graph.Data, name string) *onnxpb.TensorProto {
	t := d.Tensor
	p := &onnxpb.TensorProto{DataType: proto.Int32(int32(t.Type)), MetadataProps: propsProto(d.Metadata)}
	p.Name, p.DocString = optional(name), optional(d.Doc)
	for _, n := range t.Shape {
		p.Dims = append(p.Dims, int64(n))
	}
	p.ProtoReflect().SetUnknown([]byte(d.Extra))
	if t.Type == tensor.String {
		for _, s := range t.Strings() {
			p.StringData = append(p.StringData, []byte(s))
		}
		return p
	}
	if d.Layout != graph.Typed {
		p.RawData = t.Bytes()
		if p.RawData == nil {
			p.RawData = []byte{}
		}
		return p
	}
	setTyped(p, t)
	return p
}

func setTyped(p *onnxpb.TensorProto, t *tensor.Tensor) {
	switch t.Type {
	case tensor.Float32:
		p.FloatData = tensor.View[float32](t)
	case tensor.Complex64:
		for _, c := range t.Complexes() {
			p.FloatData = append(p.FloatData, float32(real(c)), float32(imag(c)))
		}
	case tensor.Float64:
		p.DoubleData = tensor.View[float64](t)
	case tensor.Complex128:
		for _, c := range t.Complexes() {
			p.DoubleData = append(p.DoubleData, real(c), imag(c))
		}
	case tensor.Int64:
		p.Int64Data = tensor.View[int64](t)
	case tensor.Uint32, tensor.Uint64:
		for _, v := range t.Ints() {
			p.Uint64Data = append(p.Uint64Data, uint64(v))
		}
	default:
		p.Int32Data = int32Codes(t)
	}
}

// int32Codes is the int32_data form: integers as numbers, small floats as
// bits, types below a byte packed.
func int32Codes(t *tensor.Tensor) []int32 {
	var out []int32
	switch {
	case t.Type.IsInt() && t.Type.Bits() >= 8:
		for _, v := range t.Ints() {
			out = append(out, int32(v))
		}
	case t.Type.Bits() == 16:
		for _, v := range tensor.View[uint16](t) {
			out = append(out, int32(v))
		}
	default:
		for _, v := range t.Bytes() {
			out = append(out, int32(v))
		}
	}
	return out
}

// Sample values.

func (r *reader) sequenceValue(p *onnxpb.SequenceProto) (*tensor.Sequence, error) {
	s := &tensor.Sequence{}
	for _, t := range p.TensorValues {
		d, err := r.data(t)
		if err != nil {
			return nil, err
		}
		s.Elem = d.Tensor.Type
		s.Items = append(s.Items, d.Tensor)
	}
	for _, q := range p.SequenceValues {
		v, err := r.sequenceValue(q)
		if err != nil {
			return nil, err
		}
		s.Items = append(s.Items, v)
	}
	for _, q := range p.MapValues {
		v, err := r.mapValue(q)
		if err != nil {
			return nil, err
		}
		s.Items = append(s.Items, v)
	}
	for _, q := range p.OptionalValues {
		v, err := r.optionalValue(q)
		if err != nil {
			return nil, err
		}
		s.Items = append(s.Items, v)
	}
	return s, nil
}

func (r *reader) optionalValue(p *onnxpb.OptionalProto) (*tensor.Optional, error) {
	var v tensor.Value
	var err error
	switch {
	case p.TensorValue != nil:
		var d *graph.Data
		if d, err = r.data(p.TensorValue); err == nil {
			v = d.Tensor
		}
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
	m := &tensor.Map{}
	if len(p.StringKeys) > 0 {
		keys := make([]string, len(p.StringKeys))
		for i, k := range p.StringKeys {
			keys[i] = string(k)
		}
		m.Keys, _ = tensor.FromStrings([]int{len(keys)}, keys)
	} else {
		m.Keys = tensor.Vector(p.Keys...)
	}
	values, err := r.sequenceValue(p.GetValues())
	if err != nil {
		return nil, err
	}
	if len(values.Items) != m.Keys.Len() {
		return nil, fmt.Errorf("map of %d keys and %d values", m.Keys.Len(), len(values.Items))
	}
	var b []byte
	for _, v := range values.Items {
		t, ok := v.(*tensor.Tensor)
		if !ok || t.Len() != 1 || t.Type == tensor.String {
			return nil, fmt.Errorf("map values that are no scalars")
		}
		b = append(b, t.Bytes()...)
	}
	m.Values, err = tensor.FromBytes(values.Elem, []int{m.Keys.Len()}, b)
	return m, err
}

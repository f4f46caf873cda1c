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
	t, err := elemType(p.GetDataType())
	if err != nil {
		return nil, err
	}
	if p.Segment != nil {
		return nil, fmt.Errorf("segmented tensors are not supported")
	}
	d := &graph.Data{}
	shape, err := shapeOf(p.Dims)
	if err != nil {
		return nil, err
	}
	typedLen := len(p.FloatData) + len(p.Int32Data) + len(p.Int64Data) + len(p.DoubleData) + len(p.Uint64Data) + len(p.StringData)
	switch {
	case p.GetDataLocation() == 1:
		d.Layout = graph.External
		d.Tensor, d.Location, err = r.external(p, t, shape)
	case p.RawData != nil && typedLen > 0:
		return nil, fmt.Errorf("it has both raw_data and another data field")
	case p.RawData != nil:
		d.Tensor, err = tensor.FromBytes(t, shape, p.RawData)
	default:
		d.Layout = graph.Typed
		d.Tensor, err = typed(p, t, shape)
	}
	if err != nil {
		return nil, err
	}
	p.Dims, p.DataType, p.RawData, p.StringData = nil, nil, nil, nil
	p.FloatData, p.Int32Data, p.Int64Data, p.DoubleData, p.Uint64Data = nil, nil, nil, nil, nil
	d.Name, d.Doc, d.Metadata = take(&p.Name), take(&p.DocString), props(&p.MetadataProps)
	take(&p.DataLocation)
	d.Extra = rest(p)
	return d, nil
}

func elemType(v int32) (tensor.DType, error) {
	t := tensor.DType(v)
	if v < 0 || v > 255 || !t.Valid() {
		return 0, fmt.Errorf("unknown element type %d", v)
	}
	return t, nil
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

// sparse reads a sparse tensor. Its indices are written in the layout of its
// values.
func (r *reader) sparse(p *onnxpb.SparseTensorProto) (*graph.Data, error) {
	if p.Values == nil || p.Indices == nil {
		return nil, fmt.Errorf("sparse tensor without values or indices")
	}
	values, err := r.data(p.Values)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	indices, err := r.data(p.Indices)
	if err != nil {
		return nil, fmt.Errorf("indices: %w", err)
	}
	put(&p.Indices.Name, indices.Name)
	for t, d := range map[*onnxpb.TensorProto]*graph.Data{p.Values: values, p.Indices: indices} {
		put(&t.DocString, d.Doc)
		t.MetadataProps = propsProto(d.Metadata)
	}
	shape, err := shapeOf(takeAll(&p.Dims))
	if err != nil {
		return nil, err
	}
	if _, err := tensor.Count(shape); err != nil {
		return nil, err
	}
	s := &tensor.Sparse{Shape: shape, Values: values.Tensor, Indices: indices.Tensor}
	return &graph.Data{Name: values.Name, Sparse: s, Layout: values.Layout, Extra: rest(p)}, nil
}

func setType(p *onnxpb.TensorProto, t *tensor.Tensor) {
	p.DataType, p.Dims = proto.Int32(int32(t.Type)), int64s(t.Shape)
}

// setTensor is the inverse of data. Raw bytes are aliased.
func setTensor(p *onnxpb.TensorProto, t *tensor.Tensor, layout graph.Layout) {
	setType(p, t)
	switch {
	case t.Type == tensor.String:
		for _, s := range t.Strings() {
			p.StringData = append(p.StringData, []byte(s))
		}
	case layout == graph.Typed:
		setTyped(p, t)
	default:
		p.RawData = t.Bytes()
		if p.RawData == nil {
			p.RawData = []byte{}
		}
	}
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

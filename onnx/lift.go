package onnx

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"onnxopt/onnx/onnxpb"
)

// lifter keeps large raw_data out of the protobuf decoder, which copies byte
// fields. The bytes that are decoded have a ticket in place of each large
// raw_data; then the tensors get slices of the original instead of tickets.
// Tickets start with random bytes, so no file can hold one.
type lifter struct {
	secret [16]byte
	blobs  [][]byte
}

// liftSize is the smallest raw_data that is lifted.
const liftSize = 4096

var errMalformed = errors.New("malformed protobuf")

// unmarshal decodes b; large tensors alias it.
func unmarshal(b []byte, m proto.Message) error {
	l := &lifter{}
	if _, err := rand.Read(l.secret[:]); err != nil {
		return err
	}
	slim, _, err := l.lift(b, m.ProtoReflect().Descriptor(), maxNesting)
	if err != nil {
		return err
	}
	options := proto.UnmarshalOptions{AllowPartial: true, RecursionLimit: maxNesting}
	if err := options.Unmarshal(slim, m); err != nil {
		return err
	}
	if len(l.blobs) > 0 {
		eachTensor(m, func(t *onnxpb.TensorProto) {
			if len(t.RawData) == len(l.secret)+8 && bytes.HasPrefix(t.RawData, l.secret[:]) {
				t.RawData = l.blobs[binary.LittleEndian.Uint64(t.RawData[len(l.secret):])]
			}
		})
	}
	return nil
}

// holders are the messages that a tensor can stand in, at any depth.
var holders = map[protoreflect.Name]bool{"ModelProto": true, "GraphProto": true, "NodeProto": true, "AttributeProto": true,
	"FunctionProto": true, "TensorProto": true, "SparseTensorProto": true, "SequenceProto": true, "MapProto": true, "OptionalProto": true}

// lift rewrites a message with tickets, and reports whether there are any.
func (l *lifter) lift(b []byte, m protoreflect.MessageDescriptor, depth int) ([]byte, bool, error) {
	if len(b) < liftSize || depth == 0 {
		return b, false, nil
	}
	fields := m.Fields()
	var out []byte
	copied := 0 // b[:copied] is in out
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return nil, false, errMalformed
		}
		size := protowire.ConsumeFieldValue(num, typ, b[at+n:])
		if size < 0 {
			return nil, false, errMalformed
		}
		end := at + n + size
		if f := fields.ByNumber(num); typ == protowire.BytesType && size >= liftSize && f != nil {
			v, _ := protowire.ConsumeBytes(b[at+n:])
			v, changed, err := l.field(v, f, depth)
			if err != nil {
				return nil, false, err
			}
			if changed {
				out = append(out, b[copied:at+n]...)
				out = protowire.AppendBytes(out, v)
				copied = end
			}
		}
		at = end
	}
	if copied == 0 {
		return b, false, nil
	}
	return append(out, b[copied:]...), true, nil
}

func (l *lifter) field(v []byte, f protoreflect.FieldDescriptor, depth int) ([]byte, bool, error) {
	switch {
	case f.Kind() == protoreflect.MessageKind && holders[f.Message().Name()]:
		return l.lift(v, f.Message(), depth-1)
	case f.Name() == "raw_data":
		ticket := binary.LittleEndian.AppendUint64(bytes.Clone(l.secret[:]), uint64(len(l.blobs)))
		l.blobs = append(l.blobs, v[:len(v):len(v)])
		return ticket, true, nil
	}
	return v, false, nil
}

// eachTensor visits the tensors of a message.
func eachTensor(m proto.Message, f func(*onnxpb.TensorProto)) {
	switch m := m.(type) {
	case *onnxpb.ModelProto:
		if m.Graph != nil {
			eachTensor(m.Graph, f)
		}
		tensorsOf(m.Functions, f)
	case *onnxpb.FunctionProto:
		tensorsOf(m.Node, f)
		tensorsOf(m.AttributeProto, f)
	case *onnxpb.GraphProto:
		tensorsOf(m.Initializer, f)
		tensorsOf(m.SparseInitializer, f)
		tensorsOf(m.Node, f)
	case *onnxpb.NodeProto:
		tensorsOf(m.Attribute, f)
	case *onnxpb.AttributeProto:
		one(m.T, f)
		one(m.SparseTensor, f)
		one(m.G, f)
		tensorsOf(m.Tensors, f)
		tensorsOf(m.SparseTensors, f)
		tensorsOf(m.Graphs, f)
	case *onnxpb.SparseTensorProto:
		one(m.Values, f)
		one(m.Indices, f)
	case *onnxpb.TensorProto:
		f(m)
	case *onnxpb.SequenceProto:
		tensorsOf(m.TensorValues, f)
		tensorsOf(m.SparseTensorValues, f)
		tensorsOf(m.SequenceValues, f)
		tensorsOf(m.MapValues, f)
		tensorsOf(m.OptionalValues, f)
	case *onnxpb.MapProto:
		one(m.Values, f)
	case *onnxpb.OptionalProto:
		one(m.TensorValue, f)
		one(m.SparseTensorValue, f)
		one(m.SequenceValue, f)
		one(m.MapValue, f)
		one(m.OptionalValue, f)
	}
}

func one[M interface {
	comparable
	proto.Message
}](m M, f func(*onnxpb.TensorProto)) {
	var none M
	if m != none {
		eachTensor(m, f)
	}
}

func tensorsOf[M proto.Message](list []M, f func(*onnxpb.TensorProto)) {
	for _, m := range list {
		eachTensor(m, f)
	}
}

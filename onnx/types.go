package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
)

// maxRank bounds the rank of a declared shape.
const maxRank = 1 << 10

// parseType reads a TypeProto and keeps its bytes. No bytes are no type.
func parseType(b []byte) (graph.Type, error) {
	if b == nil {
		return graph.Type{}, nil
	}
	p := &onnxpb.TypeProto{}
	if err := unmarshal(b, p); err != nil {
		return graph.Type{}, fmt.Errorf("malformed type")
	}
	t, err := typeOf(p)
	t.Wire = b
	return t, err
}

func typeOf(p *onnxpb.TypeProto) (graph.Type, error) {
	inner := func(kind graph.Kind, p *onnxpb.TypeProto) (graph.Type, error) {
		if p == nil {
			return graph.Type{Kind: kind}, nil
		}
		e, err := typeOf(p)
		return graph.Type{Kind: kind, Of: &e}, err
	}
	switch {
	case p == nil:
		return graph.Type{}, nil
	case p.TensorType != nil:
		return tensorType(graph.TensorKind, p.TensorType)
	case p.SparseTensorType != nil:
		return tensorType(graph.SparseKind, p.SparseTensorType)
	case p.SequenceType != nil:
		return inner(graph.SequenceKind, p.SequenceType.ElemType)
	case p.OptionalType != nil:
		return inner(graph.OptionalKind, p.OptionalType.ElemType)
	case p.MapType != nil:
		t, err := inner(graph.MapKind, p.MapType.ValueType)
		if e := p.MapType.GetKeyType(); e != 0 && err == nil {
			t.Elem, err = elemType(e)
		}
		return t, err
	case p.OpaqueType != nil:
		return graph.Type{Kind: graph.OpaqueKind}, nil
	}
	return graph.Type{}, nil
}

func tensorType(kind graph.Kind, p *onnxpb.TypeProto_Tensor) (graph.Type, error) {
	t := graph.Type{Kind: kind}
	if e := p.GetElemType(); e != 0 {
		var err error
		if t.Elem, err = elemType(e); err != nil {
			return t, err
		}
	}
	if p.Shape == nil {
		return t, nil
	}
	if len(p.Shape.Dim) > maxRank {
		return t, fmt.Errorf("shape of rank %d", len(p.Shape.Dim))
	}
	t.Ranked = true
	for _, d := range p.Shape.Dim {
		switch {
		case d.DimValue != nil && d.GetDimValue() < 0: // written by some exporters for unknown
			t.Shape = append(t.Shape, dim.Unknown)
		case d.DimValue != nil:
			t.Shape = append(t.Shape, dim.Of(d.GetDimValue()))
		default:
			t.Shape = append(t.Shape, dim.Parse(d.GetDimParam()))
		}
	}
	return t, nil
}

// typeBytes is the TypeProto: as it was read, or made anew. Nil if unknown.
func typeBytes(t graph.Type) []byte {
	if t.Wire != nil || !t.Known() {
		return t.Wire
	}
	b, err := marshal.Marshal(typeProto(t))
	if err != nil {
		return nil
	}
	return b
}

func typeProto(t graph.Type) *onnxpb.TypeProto {
	p := &onnxpb.TypeProto{}
	var of *onnxpb.TypeProto
	if t.Of != nil {
		of = typeProto(*t.Of)
	}
	switch t.Kind {
	case graph.TensorKind:
		p.TensorType = tensorTypeProto(t)
	case graph.SparseKind:
		p.SparseTensorType = tensorTypeProto(t)
	case graph.SequenceKind:
		p.SequenceType = &onnxpb.TypeProto_Sequence{ElemType: of}
	case graph.OptionalKind:
		p.OptionalType = &onnxpb.TypeProto_Optional{ElemType: of}
	case graph.MapKind:
		p.MapType = &onnxpb.TypeProto_Map{KeyType: proto.Int32(int32(t.Elem)), ValueType: of}
	case graph.OpaqueKind:
		p.OpaqueType = &onnxpb.TypeProto_Opaque{}
	}
	return p
}

func tensorTypeProto(t graph.Type) *onnxpb.TypeProto_Tensor {
	p := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(t.Elem))}
	if !t.Ranked {
		return p
	}
	p.Shape = &onnxpb.TensorShapeProto{}
	for _, d := range t.Shape {
		q := &onnxpb.TensorShapeProto_Dimension{}
		if n, ok := d.Const(); ok {
			q.DimValue = proto.Int64(n)
		} else if d.Known() {
			q.DimParam = proto.String(d.String())
		}
		p.Shape.Dim = append(p.Shape.Dim, q)
	}
	return p
}

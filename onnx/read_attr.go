package onnx

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
)

// attrs reads the attributes of a node of g.
func (r *reader) attrs(list []*onnxpb.AttributeProto, g *graph.Graph, s *scope) ([]*graph.Attr, error) {
	seen := make(map[string]bool, len(list))
	var out []*graph.Attr
	for _, p := range list {
		name := p.GetName()
		if seen[name] {
			return nil, fmt.Errorf("attribute %s is given twice", printable(name))
		}
		seen[name] = true
		a, err := r.attr(p, g, s)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", printable(name), err)
		}
		out = append(out, a)
	}
	return out, nil
}

// attr reads the field that the attribute's type names.
func (r *reader) attr(p *onnxpb.AttributeProto, g *graph.Graph, s *scope) (*graph.Attr, error) {
	if t := p.GetType(); t < 0 || t > int32(graph.AttrTypes) {
		return nil, fmt.Errorf("unknown attribute type %d", t)
	}
	a := &graph.Attr{Name: take(&p.Name), Kind: graph.AttrKind(take(&p.Type)), Ref: take(&p.RefAttrName), Doc: take(&p.DocString)}
	if a.Kind == graph.AttrUndefined {
		a.Kind = guessKind(p)
		r.repaired = append(r.repaired, fmt.Sprintf("attribute %s has no type", printable(a.Name)))
	}
	if a.Ref == "" {
		if err := r.attrValue(p, a, g, s); err != nil {
			return nil, err
		}
	}
	a.Extra = rest(p)
	return a, nil
}

// guessKind is the kind of an attribute of IR version 1, which had no types.
func guessKind(p *onnxpb.AttributeProto) graph.AttrKind {
	switch {
	case p.F != nil:
		return graph.AttrFloat
	case p.I != nil:
		return graph.AttrInt
	case p.S != nil:
		return graph.AttrString
	case p.T != nil:
		return graph.AttrTensor
	case p.G != nil:
		return graph.AttrGraph
	case len(p.Floats) > 0:
		return graph.AttrFloats
	case len(p.Ints) > 0:
		return graph.AttrInts
	case len(p.Strings) > 0:
		return graph.AttrStrings
	case len(p.Tensors) > 0:
		return graph.AttrTensors
	case len(p.Graphs) > 0:
		return graph.AttrGraphs
	}
	return graph.AttrUndefined
}

func (r *reader) attrValue(p *onnxpb.AttributeProto, a *graph.Attr, g *graph.Graph, s *scope) (err error) {
	switch a.Kind {
	case graph.AttrFloat:
		a.F, p.F = p.GetF(), nil
	case graph.AttrInt:
		a.I, p.I = p.GetI(), nil
	case graph.AttrString:
		a.S, p.S = string(p.S), nil
	case graph.AttrFloats:
		a.Floats = takeAll(&p.Floats)
	case graph.AttrInts:
		a.Ints = takeAll(&p.Ints)
	case graph.AttrStrings:
		for _, b := range takeAll(&p.Strings) {
			a.Strings = append(a.Strings, string(b))
		}
	case graph.AttrTensor:
		if p.T == nil {
			return errNoValue
		}
		a.T, err = r.data(p.T)
		p.T = nil
	case graph.AttrSparse:
		if p.SparseTensor == nil {
			return errNoValue
		}
		a.T, err = r.sparse(p.SparseTensor)
		p.SparseTensor = nil
	case graph.AttrTensors:
		a.Tensors, err = each(takeAll(&p.Tensors), r.data)
	case graph.AttrSparses:
		a.Tensors, err = each(takeAll(&p.SparseTensors), r.sparse)
	case graph.AttrGraph:
		if p.G == nil {
			return errNoValue
		}
		a.G, err = r.subgraph(p.G, g, s)
		p.G = nil
	case graph.AttrGraphs:
		a.Graphs, err = each(takeAll(&p.Graphs), func(q *onnxpb.GraphProto) (*graph.Graph, error) { return r.subgraph(q, g, s) })
	case graph.AttrType:
		if p.Tp == nil {
			return errNoValue
		}
		a.Type, err = typePointer(p.Tp)
		p.Tp = nil
	case graph.AttrTypes:
		a.Types, err = each(takeAll(&p.TypeProtos), typePointer)
	}
	return err
}

var errNoValue = fmt.Errorf("the value is missing")

func each[P, T any](list []P, read func(P) (T, error)) ([]T, error) {
	var out []T
	for i, p := range list {
		v, err := read(p)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func (r *reader) subgraph(p *onnxpb.GraphProto, g *graph.Graph, s *scope) (*graph.Graph, error) {
	sub := g.NewSubgraph("")
	return sub, r.graph(p, sub, s)
}

func typePointer(b []byte) (*graph.Type, error) {
	t, err := parseType(b)
	return &t, err
}

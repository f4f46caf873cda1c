package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// reader turns protobuf messages into a model.
type reader struct {
	dir   string
	files map[string][]byte // mapped external data files
}

func unknown(m proto.Message) graph.Extra {
	return graph.Extra(m.ProtoReflect().GetUnknown())
}

func props(in []*onnxpb.StringStringEntryProto) []graph.Prop {
	var out []graph.Prop
	for _, p := range in {
		out = append(out, graph.Prop{Key: p.GetKey(), Value: p.GetValue()})
	}
	return out
}

func opsets(in []*onnxpb.OperatorSetIdProto) []graph.Opset {
	var out []graph.Opset
	for _, o := range in {
		out = append(out, graph.Opset{Domain: o.GetDomain(), Version: o.GetVersion()})
	}
	return out
}

func (r *reader) model(p *onnxpb.ModelProto) (*graph.Model, error) {
	m := &graph.Model{IRVersion: p.GetIrVersion(), Producer: p.GetProducerName(), ProducerVersion: p.GetProducerVersion(),
		Domain: p.GetDomain(), Version: p.GetModelVersion(), Doc: p.GetDocString(), Metadata: props(p.MetadataProps),
		Opsets: opsets(p.OpsetImport), Training: p.TrainingInfo}
	m.Extra = extra(p, 26, p.Configuration)
	m.Graph = graph.New(p.Graph.GetName())
	if err := r.graph(p.Graph, m.Graph, nil); err != nil {
		return nil, err
	}
	for _, f := range p.Functions {
		fn, err := r.function(f)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", f.GetName(), err)
		}
		m.Functions = append(m.Functions, fn)
	}
	return m, nil
}

// extra is the unknown fields of a message, preceded by a repeated bytes field
// that is passed through.
func extra(m proto.Message, field int, passed [][]byte) graph.Extra {
	var b []byte
	for _, v := range passed {
		b = appendBytes(b, field, v)
	}
	return append(b, m.ProtoReflect().GetUnknown()...)
}

// scope finds values by name: those of one graph, then of the enclosing ones.
type scope struct {
	values map[string]*graph.Value
	outer  *scope
}

func (s *scope) find(name string) *graph.Value {
	for ; s != nil; s = s.outer {
		if v := s.values[name]; v != nil {
			return v
		}
	}
	return nil
}

func (r *reader) graph(p *onnxpb.GraphProto, g *graph.Graph, outer *scope) error {
	g.Name, g.Doc, g.Metadata, g.Extra = p.GetName(), p.GetDocString(), props(p.MetadataProps), unknown(p)
	for _, q := range p.QuantizationAnnotation {
		g.Quant = append(g.Quant, graph.QuantAnnotation{Tensor: q.GetTensorName(),
			Params: props(q.QuantParameterTensorNames), Extra: unknown(q)})
	}
	s := &scope{map[string]*graph.Value{}, outer}
	for _, in := range p.Input {
		if s.values[in.GetName()] != nil {
			return fmt.Errorf("graph input %s is declared twice", validText(in.GetName()))
		}
		v := g.AddInput(in.GetName(), graph.Type{})
		if err := declare(v, in); err != nil {
			return err
		}
		s.values[v.Name] = v
	}
	if err := r.initializers(p, g, s); err != nil {
		return err
	}
	nodes, err := r.nodes(p.Node, g, s)
	if err != nil {
		return err
	}
	if err := r.connect(nodes, p.Node, g, s); err != nil {
		return err
	}
	for _, out := range p.Output {
		v := s.find(out.GetName())
		if v == nil {
			return fmt.Errorf("graph output %s is produced by nothing", validText(out.GetName()))
		}
		g.AddOutput(v)
		if v.Graph() == g && !v.IsInput() {
			if err := declare(v, out); err != nil {
				return err
			}
		}
	}
	return valueInfos(p.ValueInfo, g, s)
}

// declare takes over what a ValueInfoProto says.
func declare(v *graph.Value, p *onnxpb.ValueInfoProto) error {
	t, err := parseType(p.Type)
	if err != nil {
		return fmt.Errorf("value %s: %w", validText(v.Name), err)
	}
	v.Type, v.Doc, v.Metadata, v.Extra = t, p.GetDocString(), props(p.MetadataProps), unknown(p)
	return nil
}

func valueInfos(list []*onnxpb.ValueInfoProto, g *graph.Graph, s *scope) error {
	for _, p := range list {
		v := s.values[p.GetName()]
		if v == nil {
			b, err := proto.Marshal(p)
			if err != nil {
				return err
			}
			g.Stray = append(g.Stray, b)
			continue
		}
		if !v.Type.Known() {
			if err := declare(v, p); err != nil {
				return err
			}
		}
		g.Declared = append(g.Declared, v)
	}
	return nil
}

func (r *reader) initializers(p *onnxpb.GraphProto, g *graph.Graph, s *scope) error {
	add := func(name string, d *graph.Data) error {
		if v := s.values[name]; v != nil && v.IsInput() && v.Data == nil {
			g.SetDefault(v, d)
			return nil
		} else if v != nil || name == "" {
			return fmt.Errorf("initializer %q has no name of its own", validText(name))
		}
		s.values[name] = g.LoadInitializer(name, d)
		return nil
	}
	for _, t := range p.Initializer {
		d, err := r.data(t)
		if err == nil {
			d.Name = ""
			err = add(t.GetName(), d)
		}
		if err != nil {
			return fmt.Errorf("initializer %s: %w", validText(t.GetName()), err)
		}
	}
	for _, t := range p.SparseInitializer {
		d, err := r.sparse(t)
		if err == nil {
			err = add(t.GetValues().GetName(), d)
		}
		if err != nil {
			return fmt.Errorf("sparse initializer %s: %w", validText(t.GetValues().GetName()), err)
		}
	}
	return nil
}

// nodes makes the nodes with their outputs, so that inputs can be resolved
// whatever the order of the file.
func (r *reader) nodes(list []*onnxpb.NodeProto, g *graph.Graph, s *scope) ([]*graph.Node, error) {
	nodes := make([]*graph.Node, len(list))
	for i, p := range list {
		n := g.NewNode(p.GetOpType(), nil, p.Output)
		n.Name, n.Domain, n.Overload, n.Doc = p.GetName(), p.GetDomain(), p.GetOverload(), p.GetDocString()
		n.Metadata, n.Extra = props(p.MetadataProps), extra(p, 10, p.DeviceConfigurations)
		for _, v := range n.Outputs() {
			if v == nil {
				continue
			}
			if s.values[v.Name] != nil {
				return nil, fmt.Errorf("node %s: output %s is defined twice", validText(n.Title()), validText(v.Name))
			}
			s.values[v.Name] = v
		}
		g.InsertBefore(nil, n)
		nodes[i] = n
	}
	return nodes, nil
}

func (r *reader) connect(nodes []*graph.Node, list []*onnxpb.NodeProto, g *graph.Graph, s *scope) error {
	for i, n := range nodes {
		in := make([]*graph.Value, len(list[i].Input))
		for k, name := range list[i].Input {
			if name == "" {
				continue
			}
			if in[k] = s.find(name); in[k] == nil {
				return fmt.Errorf("node %s: input %s is produced by nothing", validText(n.Title()), validText(name))
			}
		}
		n.LoadInputs(in)
		for _, p := range list[i].Attribute {
			a, err := r.attr(p, g, s)
			if err != nil {
				return fmt.Errorf("node %s: attribute %s: %w", validText(n.Title()), validText(p.GetName()), err)
			}
			if n.Attr(a.Name) != nil {
				return fmt.Errorf("node %s: attribute %s is given twice", validText(n.Title()), validText(a.Name))
			}
			n.SetAttr(a)
		}
	}
	return nil
}

func (r *reader) attr(p *onnxpb.AttributeProto, g *graph.Graph, s *scope) (*graph.Attr, error) {
	a := &graph.Attr{Name: p.GetName(), Kind: graph.AttrKind(p.GetType()), F: p.GetF(), I: p.GetI(), S: string(p.GetS()),
		Floats: p.Floats, Ints: p.Ints, Ref: p.GetRefAttrName(), Doc: p.GetDocString(), Extra: unknown(p)}
	if p.GetType() < 0 || p.GetType() > int32(graph.AttrTypes) {
		return nil, fmt.Errorf("unknown attribute type %d", p.GetType())
	}
	if a.Kind == graph.AttrUndefined {
		a.Kind = guessKind(p)
	}
	for _, b := range p.Strings {
		a.Strings = append(a.Strings, string(b))
	}
	var err error
	if p.T != nil {
		a.T, err = r.data(p.T)
	} else if p.SparseTensor != nil {
		a.T, err = r.sparse(p.SparseTensor)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range p.Tensors {
		d, err := r.data(t)
		if err != nil {
			return nil, err
		}
		a.Tensors = append(a.Tensors, d)
	}
	for _, t := range p.SparseTensors {
		d, err := r.sparse(t)
		if err != nil {
			return nil, err
		}
		a.Tensors = append(a.Tensors, d)
	}
	if err := r.attrRest(p, a, g, s); err != nil {
		return nil, err
	}
	if a.Ref == "" && (a.Kind == graph.AttrTensor || a.Kind == graph.AttrSparse) && a.T == nil ||
		a.Ref == "" && a.Kind == graph.AttrGraph && a.G == nil || a.Ref == "" && a.Kind == graph.AttrType && a.Type == nil {
		return nil, fmt.Errorf("the value is missing")
	}
	return a, nil
}

// attrRest reads graphs and types.
func (r *reader) attrRest(p *onnxpb.AttributeProto, a *graph.Attr, g *graph.Graph, s *scope) error {
	if p.G != nil {
		a.G = g.NewSubgraph("")
		if err := r.graph(p.G, a.G, s); err != nil {
			return err
		}
	}
	for _, q := range p.Graphs {
		sub := g.NewSubgraph("")
		if err := r.graph(q, sub, s); err != nil {
			return err
		}
		a.Graphs = append(a.Graphs, sub)
	}
	if p.Tp != nil {
		t, err := parseType(p.Tp)
		if err != nil {
			return err
		}
		a.Type = &t
	}
	for _, b := range p.TypeProtos {
		t, err := parseType(b)
		if err != nil {
			return err
		}
		a.Types = append(a.Types, &t)
	}
	return nil
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

func (r *reader) function(p *onnxpb.FunctionProto) (*graph.Function, error) {
	f := &graph.Function{Domain: p.GetDomain(), Name: p.GetName(), Overload: p.GetOverload(), Attrs: p.Attribute,
		Opsets: opsets(p.OpsetImport), Body: graph.New(p.GetName()), Extra: unknown(p)}
	g := f.Body
	g.Doc, g.Metadata = p.GetDocString(), props(p.MetadataProps)
	s := &scope{values: map[string]*graph.Value{}}
	for _, name := range p.Input {
		if s.values[name] != nil {
			return nil, fmt.Errorf("input %s is declared twice", validText(name))
		}
		s.values[name] = g.AddInput(name, graph.Type{})
	}
	for _, a := range p.AttributeProto {
		d, err := r.attr(a, g, s)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", validText(a.GetName()), err)
		}
		f.Defaults = append(f.Defaults, d)
	}
	nodes, err := r.nodes(p.Node, g, s)
	if err != nil {
		return nil, err
	}
	if err := r.connect(nodes, p.Node, g, s); err != nil {
		return nil, err
	}
	for _, name := range p.Output {
		v := s.values[name]
		if v == nil {
			return nil, fmt.Errorf("output %s is produced by nothing", validText(name))
		}
		g.AddOutput(v)
	}
	return f, valueInfos(p.ValueInfo, g, s)
}

// parseType reads a TypeProto and keeps its bytes. No bytes are no type.
func parseType(b []byte) (graph.Type, error) {
	if b == nil {
		return graph.Type{}, nil
	}
	p := &onnxpb.TypeProto{}
	if err := unmarshal(b, p); err != nil {
		return graph.Type{}, fmt.Errorf("type: %w", err)
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
		t.Elem = tensor.DType(p.MapType.GetKeyType())
		return t, err
	case p.OpaqueType != nil:
		return graph.Type{Kind: graph.OpaqueKind}, nil
	}
	return graph.Type{}, nil
}

// maxRank bounds the rank of a declared shape.
const maxRank = 1 << 10

func tensorType(kind graph.Kind, p *onnxpb.TypeProto_Tensor) (graph.Type, error) {
	t := graph.Type{Kind: kind}
	if e := p.GetElemType(); e != 0 {
		t.Elem = tensor.DType(e)
		if e < 0 || e > 255 || !t.Elem.Valid() {
			return t, fmt.Errorf("unknown element type %d", e)
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

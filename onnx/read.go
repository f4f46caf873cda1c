package onnx

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
)

// reader turns protobuf messages into a model. It takes fields out of the
// messages; what is left of one in the end is its graph.Extra.
type reader struct {
	dir      string
	files    map[string][]byte // mapped external data files
	repaired []string          // faults that reading put right
}

// take is the value of a field, which it clears. A field that is present with
// the zero value stays, and so becomes part of rest.
func take[T comparable](p **T) T {
	var zero T
	if *p == nil || **p == zero {
		return zero
	}
	v := **p
	*p = nil
	return v
}

// takeAll is a repeated field, which it clears.
func takeAll[T any](p *[]T) []T {
	v := *p
	*p = nil
	return v
}

// rest is what is left of m: unknown fields, fields that package graph does
// not have, empty fields that are present.
func rest(m proto.Message) graph.Extra {
	if marshal.Size(m) == 0 {
		return nil
	}
	b, err := marshal.Marshal(m)
	if err != nil {
		return nil
	}
	return b
}

func props(p *[]*onnxpb.StringStringEntryProto) []graph.Prop {
	var out []graph.Prop
	for _, e := range takeAll(p) {
		q := graph.Prop{Key: e.GetKey(), Value: e.GetValue()}
		q.Wire = oddWire(e, propProto(q))
		out = append(out, q)
	}
	return out
}

func opsets(p *[]*onnxpb.OperatorSetIdProto) []graph.Opset {
	var out []graph.Opset
	for _, e := range takeAll(p) {
		o := graph.Opset{Domain: e.GetDomain(), Version: e.GetVersion()}
		o.Wire = oddWire(e, opsetProto(o))
		out = append(out, o)
	}
	return out
}

// oddWire is the bytes of a message that differs from the usual form.
func oddWire(m, usual proto.Message) string {
	if proto.Equal(m, usual) {
		return ""
	}
	return string(rest(m))
}

func (r *reader) model(p *onnxpb.ModelProto) (*graph.Model, error) {
	m := &graph.Model{IRVersion: take(&p.IrVersion), Producer: take(&p.ProducerName), ProducerVersion: take(&p.ProducerVersion),
		Domain: take(&p.Domain), Version: take(&p.ModelVersion), Doc: take(&p.DocString), Metadata: props(&p.MetadataProps),
		Opsets: opsets(&p.OpsetImport), Training: takeAll(&p.TrainingInfo)}
	m.Graph = graph.New(p.Graph.GetName())
	if err := r.graph(p.Graph, m.Graph, nil); err != nil {
		return nil, err
	}
	p.Graph = nil
	for _, f := range takeAll(&p.Functions) {
		name := f.GetName()
		fn, err := r.function(f)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", printable(name), err)
		}
		m.Functions = append(m.Functions, fn)
	}
	m.Extra = rest(p)
	m.Repaired = r.repaired
	return m, nil
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
	g.Name, g.Doc, g.Metadata = take(&p.Name), take(&p.DocString), props(&p.MetadataProps)
	for _, q := range takeAll(&p.QuantizationAnnotation) {
		a := graph.QuantAnnotation{Tensor: take(&q.TensorName), Params: props(&q.QuantParameterTensorNames)}
		a.Extra = rest(q)
		g.Quant = append(g.Quant, a)
	}
	s := &scope{map[string]*graph.Value{}, outer}
	for i, in := range takeAll(&p.Input) {
		name := in.GetName()
		if name == "" {
			return fmt.Errorf("graph input %d has no name", i)
		}
		if s.values[name] != nil {
			return fmt.Errorf("graph input %s is declared twice", printable(name))
		}
		v := g.AddInput(name, graph.Type{})
		if err := declare(v, in); err != nil {
			return err
		}
		s.values[name] = v
	}
	if err := r.initializers(p, g, s); err != nil {
		return err
	}
	nodes := takeAll(&p.Node)
	if err := r.nodes(nodes, g, s); err != nil {
		return err
	}
	if err := r.connect(nodes, g, s); err != nil {
		return err
	}
	if err := outputs(takeAll(&p.Output), g, s); err != nil {
		return err
	}
	if err := valueInfos(takeAll(&p.ValueInfo), g, s); err != nil {
		return err
	}
	g.Extra = rest(p)
	return nil
}

// outputs adds the graph outputs. A value that has no other description takes
// that of the output.
func outputs(list []*onnxpb.ValueInfoProto, g *graph.Graph, s *scope) error {
	described := map[*graph.Value]bool{}
	for i, p := range list {
		v := s.find(p.GetName())
		if v == nil {
			return fmt.Errorf("graph output %s is produced by nothing", printable(p.GetName()))
		}
		g.AddOutput(v)
		own := v
		if v.Graph() != g || v.IsInput() || described[v] {
			own = &graph.Value{Name: v.Name}
			g.DescribeOutput(i, own)
		}
		described[v] = true
		if err := declare(own, p); err != nil {
			return err
		}
	}
	return nil
}

// declare takes over what a ValueInfoProto says.
func declare(v *graph.Value, p *onnxpb.ValueInfoProto) error {
	t, err := parseType(p.Type)
	if err != nil {
		return fmt.Errorf("value %s: %w", printable(v.Name), err)
	}
	p.Name, p.Type = nil, nil
	v.Type, v.Doc, v.Metadata = t, take(&p.DocString), props(&p.MetadataProps)
	v.Extra = rest(p)
	return nil
}

// valueInfos takes over the value_info entries. Those that name nothing, or
// repeat a value with another content, are kept as they are.
func valueInfos(list []*onnxpb.ValueInfoProto, g *graph.Graph, s *scope) error {
	for _, p := range list {
		v := s.values[p.GetName()]
		wire, err := marshal.Marshal(p)
		if err != nil {
			return err
		}
		described := v != nil && (v.Type.Known() || v.Type.Wire != nil)
		if described {
			now, err := marshal.Marshal(valueProto(v))
			if err != nil {
				return err
			}
			described = !bytes.Equal(now, wire)
		}
		if v == nil || described {
			g.Stray = append(g.Stray, graph.Stray{After: len(g.Declared), Wire: wire})
			continue
		}
		if err := declare(v, p); err != nil {
			return err
		}
		g.Declared = append(g.Declared, v)
	}
	return nil
}

func (r *reader) initializers(p *onnxpb.GraphProto, g *graph.Graph, s *scope) error {
	add := func(name string, d *graph.Data) error {
		v := s.values[name]
		switch {
		case name == "":
			return fmt.Errorf("it has no name")
		case v == nil:
			s.values[name] = g.LoadInitializer(name, d)
		case v.Data != nil:
			return fmt.Errorf("it is defined twice")
		default:
			g.SetDefault(v, d)
		}
		return nil
	}
	for _, t := range takeAll(&p.Initializer) {
		name := t.GetName()
		d, err := r.data(t)
		if err == nil {
			err = add(d.Name, d)
			d.Name = ""
		}
		if err != nil {
			return fmt.Errorf("initializer %s: %w", printable(name), err)
		}
	}
	for _, t := range takeAll(&p.SparseInitializer) {
		name := t.GetValues().GetName()
		d, err := r.sparse(t)
		if err == nil {
			err = add(d.Name, d)
			d.Name = ""
		}
		if err != nil {
			return fmt.Errorf("sparse initializer %s: %w", printable(name), err)
		}
	}
	return nil
}

// nodes makes the nodes with their outputs, so that inputs can be resolved
// whatever the order of the file.
func (r *reader) nodes(list []*onnxpb.NodeProto, g *graph.Graph, s *scope) error {
	for i, p := range list {
		n := g.NewNode(take(&p.OpType), nil, takeAll(&p.Output))
		n.Name = take(&p.Name)
		if n.Op == "" {
			return fmt.Errorf("node %d %s has no operator", i, printable(n.Name))
		}
		for _, v := range n.Outputs() {
			if v == nil {
				continue
			}
			if s.values[v.Name] != nil {
				return fmt.Errorf("node %s: output %s is defined twice", printable(n.Title()), printable(v.Name))
			}
			s.values[v.Name] = v
		}
		g.InsertBefore(nil, n)
	}
	return nil
}

// connect reads the rest of the nodes: inputs and attributes.
func (r *reader) connect(list []*onnxpb.NodeProto, g *graph.Graph, s *scope) error {
	i := 0
	for n := range g.Nodes() {
		p := list[i]
		i++
		in := make([]*graph.Value, len(p.Input))
		for k, name := range takeAll(&p.Input) {
			if name == "" {
				continue
			}
			if in[k] = s.find(name); in[k] == nil {
				return fmt.Errorf("node %s: input %s is produced by nothing", printable(n.Title()), printable(name))
			}
		}
		n.LoadInputs(in)
		attrs, err := r.attrs(takeAll(&p.Attribute), g, s)
		if err != nil {
			return fmt.Errorf("node %s: %w", printable(n.Title()), err)
		}
		n.LoadAttrs(attrs)
		n.Domain, n.Overload, n.Doc = take(&p.Domain), take(&p.Overload), take(&p.DocString)
		n.Metadata = props(&p.MetadataProps)
		n.Extra = rest(p)
	}
	return nil
}

func (r *reader) function(p *onnxpb.FunctionProto) (*graph.Function, error) {
	f := &graph.Function{Domain: take(&p.Domain), Name: take(&p.Name), Overload: take(&p.Overload), Attrs: takeAll(&p.Attribute),
		Opsets: opsets(&p.OpsetImport)}
	f.Body = graph.New(f.Name)
	g := f.Body
	g.Doc, g.Metadata = take(&p.DocString), props(&p.MetadataProps)
	s := &scope{values: map[string]*graph.Value{}}
	for i, name := range takeAll(&p.Input) {
		if s.values[name] != nil || name == "" {
			return nil, fmt.Errorf("input %d %s has no name of its own", i, printable(name))
		}
		s.values[name] = g.AddInput(name, graph.Type{})
	}
	var err error
	if f.Defaults, err = r.attrs(takeAll(&p.AttributeProto), g, s); err != nil {
		return nil, err
	}
	nodes := takeAll(&p.Node)
	if err := r.nodes(nodes, g, s); err != nil {
		return nil, err
	}
	if err := r.connect(nodes, g, s); err != nil {
		return nil, err
	}
	for _, name := range takeAll(&p.Output) {
		v := s.values[name]
		if v == nil {
			return nil, fmt.Errorf("output %s is produced by nothing", printable(name))
		}
		g.AddOutput(v)
	}
	err = valueInfos(takeAll(&p.ValueInfo), g, s)
	f.Extra = rest(p)
	return f, err
}

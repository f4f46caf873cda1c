package onnx

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
)

// writer turns a model into protobuf messages: each starts as the Extra that
// the reader left, and gets the fields that package graph has.
type writer struct {
	external map[*graph.Data]blob // what stands in the data file
	location string               // of the data file
	anySize  bool                 // not for a file: protobuf's limit does not matter
}

var marshal = proto.MarshalOptions{Deterministic: true, AllowPartial: true}

// restore starts a message from what the reader left of it.
func restore[M proto.Message](m M, e graph.Extra) M {
	if len(e) > 0 {
		// rest wrote these bytes; others are dropped.
		_ = proto.Unmarshal(e, m)
	}
	return m
}

// put sets a field unless v is the zero value: then it stays as it was
// restored, absent or empty.
func put[T comparable](p **T, v T) {
	var zero T
	if v != zero {
		*p = &v
	}
}

// write streams m, its tensors one at a time, so that weights are not copied.
func (w *writer) write(f io.Writer, m *graph.Model) error {
	p := restore(&onnxpb.ModelProto{}, m.Extra)
	put(&p.IrVersion, m.IRVersion)
	put(&p.ProducerName, m.Producer)
	put(&p.ProducerVersion, m.ProducerVersion)
	put(&p.Domain, m.Domain)
	put(&p.ModelVersion, m.Version)
	put(&p.DocString, m.Doc)
	p.OpsetImport, p.MetadataProps, p.TrainingInfo = opsetsProto(m.Opsets), propsProto(m.Metadata), m.Training
	for _, fn := range m.Functions {
		p.Functions = append(p.Functions, w.function(fn))
	}
	head := &onnxpb.ModelProto{IrVersion: p.IrVersion, ProducerName: p.ProducerName, ProducerVersion: p.ProducerVersion,
		Domain: p.Domain, ModelVersion: p.ModelVersion, DocString: p.DocString}
	p.IrVersion, p.ProducerName, p.ProducerVersion, p.Domain, p.ModelVersion, p.DocString = nil, nil, nil, nil, nil, nil
	g := w.graph(m.Graph)
	if size := marshal.Size(head) + marshal.Size(g) + marshal.Size(p); size > maxMessage && !w.anySize {
		return fmt.Errorf("the model has %d bytes, more than a protobuf file can: keep its data external", size)
	}
	if err := writeMessage(f, head); err != nil {
		return err
	}
	if err := writeGraph(f, g); err != nil {
		return err
	}
	return writeMessage(f, p)
}

// maxMessage is the largest message that protobuf allows.
const maxMessage = 1<<31 - 1

func writeMessage(f io.Writer, m proto.Message) error {
	b, err := marshal.Marshal(m)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return err
}

func writeHead(f io.Writer, field protowire.Number, size int) error {
	b := protowire.AppendTag(nil, field, protowire.BytesType)
	_, err := f.Write(protowire.AppendVarint(b, uint64(size)))
	return err
}

// writeGraph writes the main graph, field 7 of ModelProto, with the
// initializers (5) between the fields before and after them.
func writeGraph(f io.Writer, g *onnxpb.GraphProto) error {
	if err := writeHead(f, 7, marshal.Size(g)); err != nil {
		return err
	}
	if err := writeMessage(f, &onnxpb.GraphProto{Node: g.Node, Name: g.Name}); err != nil {
		return err
	}
	for _, t := range g.Initializer {
		if err := writeHead(f, 5, marshal.Size(t)); err != nil {
			return err
		}
		if err := writeTensor(f, t); err != nil {
			return err
		}
	}
	g.Node, g.Name, g.Initializer = nil, nil, nil
	return writeMessage(f, g)
}

// writeTensor writes raw_data (9) between the fields before and after it.
func writeTensor(f io.Writer, t *onnxpb.TensorProto) error {
	if t.RawData == nil {
		return writeMessage(f, t)
	}
	err := writeMessage(f, &onnxpb.TensorProto{Dims: t.Dims, DataType: t.DataType, Segment: t.Segment, Name: t.Name})
	if err != nil {
		return err
	}
	if err := writeHead(f, 9, len(t.RawData)); err != nil {
		return err
	}
	if _, err := f.Write(t.RawData); err != nil {
		return err
	}
	t.Dims, t.DataType, t.Segment, t.Name, t.RawData = nil, nil, nil, nil, nil
	return writeMessage(f, t)
}

func propProto(p graph.Prop) *onnxpb.StringStringEntryProto {
	e := &onnxpb.StringStringEntryProto{}
	if p.Wire != "" && proto.Unmarshal([]byte(p.Wire), e) == nil && e.GetKey() == p.Key && e.GetValue() == p.Value {
		return e
	}
	return &onnxpb.StringStringEntryProto{Key: &p.Key, Value: &p.Value}
}

func propsProto(in []graph.Prop) []*onnxpb.StringStringEntryProto {
	var out []*onnxpb.StringStringEntryProto
	for _, p := range in {
		out = append(out, propProto(p))
	}
	return out
}

func opsetProto(o graph.Opset) *onnxpb.OperatorSetIdProto {
	e := &onnxpb.OperatorSetIdProto{}
	if o.Wire != "" && proto.Unmarshal([]byte(o.Wire), e) == nil && e.GetDomain() == o.Domain {
		if e.GetVersion() != o.Version {
			e.Version = &o.Version
		}
		return e
	}
	return &onnxpb.OperatorSetIdProto{Domain: &o.Domain, Version: &o.Version}
}

func opsetsProto(in []graph.Opset) []*onnxpb.OperatorSetIdProto {
	var out []*onnxpb.OperatorSetIdProto
	for _, o := range in {
		out = append(out, opsetProto(o))
	}
	return out
}

func (w *writer) graph(g *graph.Graph) *onnxpb.GraphProto {
	p := restore(&onnxpb.GraphProto{}, g.Extra)
	put(&p.Name, g.Name)
	put(&p.DocString, g.Doc)
	p.MetadataProps = propsProto(g.Metadata)
	p.Node = w.nodes(g)
	for v := range g.Initializers() {
		if v.Data.Sparse != nil {
			p.SparseInitializer = append(p.SparseInitializer, sparseProto(v.Data, v.Name))
			continue
		}
		p.Initializer = append(p.Initializer, w.tensor(v.Data, v.Name))
	}
	for _, v := range g.Inputs() {
		p.Input = append(p.Input, valueProto(v))
	}
	for i := range g.Outputs() {
		p.Output = append(p.Output, valueProto(g.OutputInfo(i)))
	}
	p.ValueInfo = valueInfoProtos(g)
	for _, q := range g.Quant {
		a := restore(&onnxpb.TensorAnnotation{}, q.Extra)
		put(&a.TensorName, q.Tensor)
		a.QuantParameterTensorNames = propsProto(q.Params)
		p.QuantizationAnnotation = append(p.QuantizationAnnotation, a)
	}
	return p
}

func valueInfoProtos(g *graph.Graph) []*onnxpb.ValueInfoProto {
	var out []*onnxpb.ValueInfoProto
	stray := g.Stray
	strays := func(at int) {
		for len(stray) > 0 && stray[0].After <= at {
			out = append(out, restore(&onnxpb.ValueInfoProto{}, stray[0].Wire))
			stray = stray[1:]
		}
	}
	for i, v := range g.Declared {
		strays(i)
		if v.Live() {
			out = append(out, valueProto(v))
		}
	}
	strays(math.MaxInt)
	return out
}

func valueProto(v *graph.Value) *onnxpb.ValueInfoProto {
	p := restore(&onnxpb.ValueInfoProto{}, v.Extra)
	p.Name, p.Type, p.MetadataProps = &v.Name, typeBytes(v.Type), propsProto(v.Metadata)
	put(&p.DocString, v.Doc)
	return p
}

func names(list []*graph.Value) []string {
	var out []string
	for _, v := range list {
		name := ""
		if v != nil {
			name = v.Name
		}
		out = append(out, name)
	}
	return out
}

func (w *writer) nodes(g *graph.Graph) []*onnxpb.NodeProto {
	var out []*onnxpb.NodeProto
	for n := range g.Nodes() {
		p := restore(&onnxpb.NodeProto{}, n.Extra)
		p.Input, p.Output, p.MetadataProps = names(n.Inputs()), names(n.Outputs()), propsProto(n.Metadata)
		put(&p.OpType, n.Op)
		put(&p.Name, n.Name)
		put(&p.Domain, n.Domain)
		put(&p.Overload, n.Overload)
		put(&p.DocString, n.Doc)
		for _, a := range n.Attrs {
			p.Attribute = append(p.Attribute, w.attr(a))
		}
		out = append(out, p)
	}
	return out
}

func (w *writer) attr(a *graph.Attr) *onnxpb.AttributeProto {
	p := restore(&onnxpb.AttributeProto{}, a.Extra)
	put(&p.Name, a.Name)
	put(&p.Type, int32(a.Kind))
	put(&p.RefAttrName, a.Ref)
	put(&p.DocString, a.Doc)
	if a.Ref != "" {
		return p
	}
	switch a.Kind {
	case graph.AttrFloat:
		p.F = &a.F
	case graph.AttrInt:
		p.I = &a.I
	case graph.AttrString:
		p.S = []byte(a.S)
	case graph.AttrFloats:
		p.Floats = a.Floats
	case graph.AttrInts:
		p.Ints = a.Ints
	case graph.AttrStrings:
		for _, s := range a.Strings {
			p.Strings = append(p.Strings, []byte(s))
		}
	case graph.AttrTensor:
		p.T = w.tensor(a.T, a.T.Name)
	case graph.AttrSparse:
		p.SparseTensor = sparseProto(a.T, a.T.Name)
	case graph.AttrTensors:
		for _, d := range a.Tensors {
			p.Tensors = append(p.Tensors, w.tensor(d, d.Name))
		}
	case graph.AttrSparses:
		for _, d := range a.Tensors {
			p.SparseTensors = append(p.SparseTensors, sparseProto(d, d.Name))
		}
	case graph.AttrGraph:
		p.G = w.graph(a.G)
	case graph.AttrGraphs:
		for _, g := range a.Graphs {
			p.Graphs = append(p.Graphs, w.graph(g))
		}
	case graph.AttrType:
		p.Tp = typeBytes(*a.Type)
	case graph.AttrTypes:
		for _, t := range a.Types {
			p.TypeProtos = append(p.TypeProtos, typeBytes(*t))
		}
	}
	return p
}

func (w *writer) function(f *graph.Function) *onnxpb.FunctionProto {
	g := f.Body
	p := restore(&onnxpb.FunctionProto{}, f.Extra)
	put(&p.Name, f.Name)
	put(&p.Domain, f.Domain)
	put(&p.Overload, f.Overload)
	put(&p.DocString, g.Doc)
	p.Input, p.Output, p.Attribute = names(g.Inputs()), names(g.Outputs()), f.Attrs
	p.OpsetImport, p.MetadataProps = opsetsProto(f.Opsets), propsProto(g.Metadata)
	p.ValueInfo, p.Node = valueInfoProtos(g), w.nodes(g)
	for _, a := range f.Defaults {
		p.AttributeProto = append(p.AttributeProto, w.attr(a))
	}
	return p
}

// tensor is the TensorProto of a dense stored tensor, in its layout or, where
// the plan says so, as a reference to the data file. Raw bytes are aliased.
func (w *writer) tensor(d *graph.Data, name string) *onnxpb.TensorProto {
	p := restore(&onnxpb.TensorProto{}, d.Extra)
	put(&p.Name, name)
	put(&p.DocString, d.Doc)
	p.MetadataProps = propsProto(d.Metadata)
	kept := p.ExternalData
	p.ExternalData = nil
	b, ok := w.external[d]
	if !ok {
		setTensor(p, d.Tensor, d.Layout)
		return p
	}
	setType(p, d.Tensor)
	p.DataLocation = proto.Int32(1)
	p.ExternalData = append(propsProto([]graph.Prop{{Key: "location", Value: w.location},
		{Key: "offset", Value: strconv.FormatInt(b.offset, 10)}, {Key: "length", Value: strconv.FormatInt(b.length, 10)}}), kept...)
	return p
}

// sparseProto is the SparseTensorProto of a sparse stored tensor, whose name
// is that of its values.
func sparseProto(d *graph.Data, name string) *onnxpb.SparseTensorProto {
	p := restore(&onnxpb.SparseTensorProto{}, d.Extra)
	if p.Values == nil {
		p.Values = &onnxpb.TensorProto{}
	}
	if p.Indices == nil {
		p.Indices = &onnxpb.TensorProto{}
	}
	put(&p.Values.Name, name)
	setTensor(p.Values, d.Sparse.Values, d.Layout)
	setTensor(p.Indices, d.Sparse.Indices, d.Layout)
	p.Dims = int64s(d.Sparse.Shape)
	return p
}

func int64s(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, n := range shape {
		out[i] = int64(n)
	}
	return slices.Clip(out)
}

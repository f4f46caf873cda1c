package onnx

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
)

// SaveOptions choose how a model is written. The zero value keeps external
// data external, and makes it so when the file would pass 2 GB.
type SaveOptions struct {
	Embed bool // take external data into the file
}

// maxFile is the largest protobuf message that other readers accept.
const maxFile = 2<<30 - 1<<20

// dataAlign is the alignment of tensors in a data file, for mapping them.
const dataAlign = 4096

// Save writes m to path: a temporary file beside it is renamed over it when
// it is complete, so path never holds a part. External data goes into one file
// beside it, path + ".data". The same model gives the same bytes.
func Save(m *graph.Model, path string, o SaveOptions) error {
	w := &writer{}
	if !o.Embed {
		w.planExternal(m, filepath.Base(path)+".data")
	}
	if len(w.blobs) > 0 {
		if err := writeFile(path+".data", w.writeBlobs); err != nil {
			return fmt.Errorf("%s.data: %w", path, rootCause(err))
		}
	}
	if err := writeFile(path, func(f io.Writer) error { return w.write(f, m) }); err != nil {
		return fmt.Errorf("%s: %w", path, rootCause(err))
	}
	return nil
}

// writeFile writes through a temporary file that is renamed at the end.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriterSize(f, 1<<20)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// writer turns a model into protobuf messages.
type writer struct {
	external map[*graph.Data]blob
	blobs    []*graph.Data
	location string
}

type blob struct{ offset, length int64 }

// planExternal places the tensors that are to be external in the data file.
func (w *writer) planExternal(m *graph.Model, location string) {
	total, any := 0, false
	var all []*graph.Data
	for v := range m.Graph.Initializers() {
		if v.Data.Tensor != nil {
			total += len(v.Data.Tensor.Bytes())
			any = any || v.Data.Layout == graph.External
			all = append(all, v.Data)
		}
	}
	if !any && total < maxFile {
		return
	}
	w.external, w.location = map[*graph.Data]blob{}, location
	offset := int64(0)
	for _, d := range all {
		size := int64(len(d.Tensor.Bytes()))
		if d.Layout != graph.External && (total < maxFile || size < 1024) {
			continue
		}
		if _, done := w.external[d]; done {
			continue
		}
		offset = (offset + dataAlign - 1) / dataAlign * dataAlign
		w.external[d] = blob{offset, size}
		w.blobs = append(w.blobs, d)
		offset += size
	}
}

func (w *writer) writeBlobs(f io.Writer) error {
	at := int64(0)
	for _, d := range w.blobs {
		b := w.external[d]
		if _, err := f.Write(make([]byte, b.offset-at)); err != nil {
			return err
		}
		if _, err := f.Write(d.Tensor.Bytes()); err != nil {
			return err
		}
		at = b.offset + b.length
	}
	return nil
}

func (w *writer) write(f io.Writer, m *graph.Model) error {
	p := &onnxpb.ModelProto{ProducerName: optional(m.Producer), ProducerVersion: optional(m.ProducerVersion),
		Domain: optional(m.Domain), DocString: optional(m.Doc)}
	if m.IRVersion != 0 {
		p.IrVersion = proto.Int64(m.IRVersion)
	}
	if m.Version != 0 {
		p.ModelVersion = proto.Int64(m.Version)
	}
	q := &onnxpb.ModelProto{OpsetImport: opsetsProto(m.Opsets), MetadataProps: propsProto(m.Metadata), TrainingInfo: m.Training}
	for _, fn := range m.Functions {
		q.Functions = append(q.Functions, w.function(fn))
	}
	q.ProtoReflect().SetUnknown([]byte(m.Extra))
	g := w.graph(m.Graph)
	if err := writeMessage(f, p); err != nil {
		return err
	}
	if err := writeGraph(f, g); err != nil {
		return err
	}
	return writeMessage(f, q)
}

var marshal = proto.MarshalOptions{Deterministic: true, AllowPartial: true}

func writeMessage(f io.Writer, m proto.Message) error {
	b, err := marshal.Marshal(m)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return err
}

// writeGraph streams the main graph as field 7 of ModelProto, one large
// tensor at a time, so that weights are not copied.
func writeGraph(f io.Writer, g *onnxpb.GraphProto) error {
	head := protowire.AppendTag(nil, 7, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(marshal.Size(g)))
	if _, err := f.Write(head); err != nil {
		return err
	}
	tensors := g.Initializer
	rest := &onnxpb.GraphProto{DocString: g.DocString, Input: g.Input, Output: g.Output, ValueInfo: g.ValueInfo,
		QuantizationAnnotation: g.QuantizationAnnotation, SparseInitializer: g.SparseInitializer, MetadataProps: g.MetadataProps}
	rest.ProtoReflect().SetUnknown(g.ProtoReflect().GetUnknown())
	if err := writeMessage(f, &onnxpb.GraphProto{Node: g.Node, Name: g.Name}); err != nil {
		return err
	}
	for _, t := range tensors {
		head := protowire.AppendTag(nil, 5, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(marshal.Size(t)))
		if _, err := f.Write(head); err != nil {
			return err
		}
		if err := writeTensor(f, t); err != nil {
			return err
		}
	}
	return writeMessage(f, rest)
}

// writeTensor writes the fields in order of their numbers, raw_data (9) as it
// is.
func writeTensor(f io.Writer, t *onnxpb.TensorProto) error {
	if t.RawData == nil {
		return writeMessage(f, t)
	}
	if err := writeMessage(f, &onnxpb.TensorProto{Dims: t.Dims, DataType: t.DataType, Name: t.Name}); err != nil {
		return err
	}
	head := protowire.AppendTag(nil, 9, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(t.RawData)))
	if _, err := f.Write(head); err != nil {
		return err
	}
	if _, err := f.Write(t.RawData); err != nil {
		return err
	}
	tail := &onnxpb.TensorProto{DocString: t.DocString, MetadataProps: t.MetadataProps}
	tail.ProtoReflect().SetUnknown(t.ProtoReflect().GetUnknown())
	return writeMessage(f, tail)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func propsProto(in []graph.Prop) []*onnxpb.StringStringEntryProto {
	var out []*onnxpb.StringStringEntryProto
	for _, p := range in {
		out = append(out, &onnxpb.StringStringEntryProto{Key: proto.String(p.Key), Value: proto.String(p.Value)})
	}
	return out
}

func opsetsProto(in []graph.Opset) []*onnxpb.OperatorSetIdProto {
	var out []*onnxpb.OperatorSetIdProto
	for _, o := range in {
		out = append(out, &onnxpb.OperatorSetIdProto{Domain: proto.String(o.Domain), Version: proto.Int64(o.Version)})
	}
	return out
}

func appendBytes(b []byte, field int, v []byte) []byte {
	b = protowire.AppendTag(b, protowire.Number(field), protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

func (w *writer) graph(g *graph.Graph) *onnxpb.GraphProto {
	p := &onnxpb.GraphProto{Name: optional(g.Name), DocString: optional(g.Doc), MetadataProps: propsProto(g.Metadata)}
	p.ProtoReflect().SetUnknown([]byte(g.Extra))
	for n := range g.Nodes() {
		p.Node = append(p.Node, w.node(n))
	}
	for v := range g.Initializers() {
		if v.Data.Sparse != nil {
			p.SparseInitializer = append(p.SparseInitializer, sparseProto(v.Data, v.Name))
			continue
		}
		p.Initializer = append(p.Initializer, w.initializer(v))
	}
	for _, v := range g.Inputs() {
		p.Input = append(p.Input, valueProto(v))
	}
	for _, v := range g.Outputs() {
		p.Output = append(p.Output, valueProto(v))
	}
	p.ValueInfo = valueInfoProtos(g)
	for _, q := range g.Quant {
		a := &onnxpb.TensorAnnotation{TensorName: optional(q.Tensor), QuantParameterTensorNames: propsProto(q.Params)}
		a.ProtoReflect().SetUnknown([]byte(q.Extra))
		p.QuantizationAnnotation = append(p.QuantizationAnnotation, a)
	}
	return p
}

func valueInfoProtos(g *graph.Graph) []*onnxpb.ValueInfoProto {
	var out []*onnxpb.ValueInfoProto
	for _, v := range g.Declared {
		if v.Live() {
			out = append(out, valueProto(v))
		}
	}
	for _, b := range g.Stray {
		p := &onnxpb.ValueInfoProto{}
		if proto.Unmarshal(b, p) == nil {
			out = append(out, p)
		}
	}
	return out
}

func (w *writer) initializer(v *graph.Value) *onnxpb.TensorProto {
	b, ok := w.external[v.Data]
	if !ok {
		return tensorProto(v.Data, v.Name)
	}
	p := tensorProto(&graph.Data{Tensor: v.Data.Tensor, Doc: v.Data.Doc, Metadata: v.Data.Metadata, Extra: v.Data.Extra}, v.Name)
	p.RawData, p.DataLocation = nil, proto.Int32(1)
	p.ExternalData = propsProto([]graph.Prop{{Key: "location", Value: w.location},
		{Key: "offset", Value: strconv.FormatInt(b.offset, 10)}, {Key: "length", Value: strconv.FormatInt(b.length, 10)}})
	return p
}

// sparseProto writes back the message that was read; the name may have
// changed.
func sparseProto(d *graph.Data, name string) *onnxpb.SparseTensorProto {
	p := &onnxpb.SparseTensorProto{}
	if d.Extra != nil && proto.Unmarshal(d.Extra, p) == nil {
		p.Values.Name = optional(name)
		return p
	}
	p.Values = tensorProto(&graph.Data{Tensor: d.Sparse.Values}, name)
	p.Indices = tensorProto(&graph.Data{Tensor: d.Sparse.Indices}, "")
	for _, n := range d.Sparse.Shape {
		p.Dims = append(p.Dims, int64(n))
	}
	return p
}

func valueProto(v *graph.Value) *onnxpb.ValueInfoProto {
	p := &onnxpb.ValueInfoProto{Name: proto.String(v.Name), Type: typeBytes(v.Type), DocString: optional(v.Doc),
		MetadataProps: propsProto(v.Metadata)}
	p.ProtoReflect().SetUnknown([]byte(v.Extra))
	return p
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

func (w *writer) node(n *graph.Node) *onnxpb.NodeProto {
	p := &onnxpb.NodeProto{Input: names(n.Inputs()), Output: names(n.Outputs()), Name: optional(n.Name),
		OpType: proto.String(n.Op), Domain: optional(n.Domain), Overload: optional(n.Overload), DocString: optional(n.Doc),
		MetadataProps: propsProto(n.Metadata)}
	p.ProtoReflect().SetUnknown([]byte(n.Extra))
	for _, a := range n.Attrs {
		p.Attribute = append(p.Attribute, w.attr(a))
	}
	return p
}

func (w *writer) attr(a *graph.Attr) *onnxpb.AttributeProto {
	p := &onnxpb.AttributeProto{Name: proto.String(a.Name), Type: proto.Int32(int32(a.Kind)), RefAttrName: optional(a.Ref),
		DocString: optional(a.Doc), Floats: a.Floats, Ints: a.Ints}
	p.ProtoReflect().SetUnknown([]byte(a.Extra))
	for _, s := range a.Strings {
		p.Strings = append(p.Strings, []byte(s))
	}
	for _, d := range a.Tensors {
		if d.Sparse != nil {
			p.SparseTensors = append(p.SparseTensors, sparseProto(d, d.Name))
		} else {
			p.Tensors = append(p.Tensors, tensorProto(d, d.Name))
		}
	}
	for _, g := range a.Graphs {
		p.Graphs = append(p.Graphs, w.graph(g))
	}
	for _, t := range a.Types {
		p.TypeProtos = append(p.TypeProtos, typeBytes(*t))
	}
	if a.Ref != "" {
		return p
	}
	switch a.Kind {
	case graph.AttrFloat:
		p.F = proto.Float32(a.F)
	case graph.AttrInt:
		p.I = proto.Int64(a.I)
	case graph.AttrString:
		p.S = []byte(a.S)
	case graph.AttrTensor:
		p.T = tensorProto(a.T, a.T.Name)
	case graph.AttrSparse:
		p.SparseTensor = sparseProto(a.T, a.T.Name)
	case graph.AttrGraph:
		p.G = w.graph(a.G)
	case graph.AttrType:
		p.Tp = typeBytes(*a.Type)
	}
	return p
}

func (w *writer) function(f *graph.Function) *onnxpb.FunctionProto {
	g := f.Body
	p := &onnxpb.FunctionProto{Name: proto.String(f.Name), Input: names(g.Inputs()), Output: names(g.Outputs()),
		Attribute: f.Attrs, DocString: optional(g.Doc), OpsetImport: opsetsProto(f.Opsets), Domain: optional(f.Domain),
		Overload: optional(f.Overload), MetadataProps: propsProto(g.Metadata), ValueInfo: valueInfoProtos(g)}
	p.ProtoReflect().SetUnknown([]byte(f.Extra))
	for n := range g.Nodes() {
		p.Node = append(p.Node, w.node(n))
	}
	for _, a := range f.Defaults {
		p.AttributeProto = append(p.AttributeProto, w.attr(a))
	}
	return p
}

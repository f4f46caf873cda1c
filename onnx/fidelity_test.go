package onnx

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// rich has every kind of message.
const rich = `<ir_version: 10, opset_import: ["": 21, "local": 1], producer_name: "p", producer_version: "1", domain: "d",
  doc_string: "doc", model_version: 3, metadata_props: ["k": "v", "k": "w"]>
g (float[N,3] x, seq(float[]) s, optional(float) o, map(string, float[2]) m, sparse_tensor(float[2,2]) p, float["2*N",?] q, int64[2] i = {1,2})
  => (float[N,3] y, float[N,3] x, float z) <
  float[3] w = {1, 2.5, -inf}, int4[3] w4 = {-8,7,1}, string[2] ws = {"a\"", ""}, float16[2] wh = {15360,1}, bool[2] wb = {0,1},
  complex64[1] wc = {1,-2}, double[1] wd = {0.1}, uint64[1] wu = {18446744073709551615}, float8e4m3fn[1] w8 = {7}, float4e2m1[3] wf = {1,2,3},
  sparse_tensor(float[2,2]) wsp = {1,2} int64[2] {0,3}, float[N,3] a> {
  [add] a = Add (x, w)
  [c] c = Constant <value = float {3}> ()
  y = local.F:o <alpha = 2.0, t = float[1] name {1}, ts: tensors = [int64[1] {1}, bool[1] {1}], e: ints = [], tp = float[N,2],
    tps: type_protos = [float, seq(float)], fs = [1.0, 2.0], ss = ["a", "b"], sp = sparse_tensor(float[4]) {1} int64[1] {2},
    sps: sparse_tensors = [sparse_tensor(float[4]) {1} int64[1] {2}], n = nan> (a, "", w4, "")
  z, "" = If (wb) <then_branch = b () => (float r) { r = Neg (c) }, else_branch = b () => (float c) {},
    gs: graphs = [b () => () {}]>
}
<domain: "local", overload: "o", opset_import: ["": 21], doc_string: "f">
F <alpha, beta: float = 2.0> (u) => (v) <float[3] k> {
  k = Elu <alpha: float = @alpha> (u)
  v = Identity (k)
}`

// richProto is the rich model with documentation and metadata everywhere.
func richProto(t *testing.T) *onnxpb.ModelProto {
	t.Helper()
	m, err := graph.Parse(rich)
	if err != nil {
		t.Fatal(err)
	}
	props := []graph.Prop{{Key: "a", Value: "b"}}
	m.Training = [][]byte{{0x1a, 0}, {}}
	for _, g := range []*graph.Graph{m.Graph, m.Functions[0].Body} {
		g.Metadata, g.Doc = props, "d"
		for n := range g.All() {
			n.Metadata, n.Doc = props, "d"
			for _, a := range n.Attrs {
				a.Doc = "d"
			}
		}
		for v := range g.Initializers() {
			v.Data.Doc, v.Data.Metadata, v.Data.Layout = "d", props, graph.Typed
			if v.Name == "w" || v.Name == "w4" {
				v.Data.Layout = graph.Raw
			}
		}
	}
	for v := range m.Graph.Values() {
		if v.Type.Known() {
			v.Doc, v.Metadata = "d", props
		}
	}
	m.Graph.Quant = []graph.QuantAnnotation{{Tensor: "w", Params: props}}
	b, err := Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	p := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	stray := &onnxpb.ValueInfoProto{Name: proto.String("of nothing")}
	p.Graph.ValueInfo = append(p.Graph.ValueInfo, stray, proto.Clone(p.Graph.Input[0]).(*onnxpb.ValueInfoProto))
	p.Graph.Output[1].DocString = proto.String("another text than that of the input")
	return p
}

func appendField(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// everyMessage visits m and the messages below it.
func everyMessage(m protoreflect.Message, visit func(protoreflect.Message)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() != protoreflect.MessageKind {
			return true
		}
		if f.IsList() {
			for i := range v.List().Len() {
				everyMessage(v.List().Get(i).Message(), visit)
			}
		} else {
			everyMessage(v.Message(), visit)
		}
		return true
	})
	visit(m)
}

// TestFidelity adds to every message what package graph has no field for; a
// round trip keeps every byte.
func TestFidelity(t *testing.T) {
	for _, c := range []struct {
		name string
		add  func(m protoreflect.Message)
	}{
		{"nothing", func(protoreflect.Message) {}},
		{"unknown fields", func(m protoreflect.Message) {
			m.SetUnknown(appendField(nil, 1000, []byte("kept")))
		}},
		{"empty strings", func(m protoreflect.Message) {
			fields := m.Descriptor().Fields()
			for i := range fields.Len() {
				if f := fields.Get(i); f.Kind() == protoreflect.StringKind && !f.IsList() && !m.Has(f) {
					m.Set(f, protoreflect.ValueOfString(""))
				}
			}
		}},
		{"device configurations", func(m protoreflect.Message) {
			for _, name := range []protoreflect.Name{"configuration", "device_configurations"} {
				if f := m.Descriptor().Fields().ByName(name); f != nil {
					m.Mutable(f).List().Append(protoreflect.ValueOfBytes([]byte{0x0a, 1, 'x'}))
				}
			}
		}},
		{"bad UTF-8", func(m protoreflect.Message) {
			if f := m.Descriptor().Fields().ByName("doc_string"); f != nil {
				m.Set(f, protoreflect.ValueOfString("\xff\xfe"))
			}
		}},
		{"fields of another kind", func(m protoreflect.Message) {
			if f := m.Descriptor().Fields().ByName("ref_attr_name"); f != nil && m.Get(m.Descriptor().Fields().ByName("type")).Int() == 6 {
				m.Set(m.Descriptor().Fields().ByName("i"), protoreflect.ValueOfInt64(5))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := richProto(t)
			everyMessage(p.ProtoReflect(), c.add)
			want, err := marshal.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			m, err := LoadBytes(want, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Verify(); err != nil {
				t.Fatal(err)
			}
			for _, m := range []*graph.Model{m, m.Clone()} {
				got, err := Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					back := &onnxpb.ModelProto{}
					if err := proto.Unmarshal(got, back); err != nil {
						t.Fatal(err)
					}
					t.Errorf("%d bytes became %d, equal as messages: %v", len(want), len(got), proto.Equal(back, p))
				}
			}
		})
	}
}

// TestOpsetKeepsForm raises the opset of a file that leaves out the empty domain:
// it stays left out.
func TestOpsetKeepsForm(t *testing.T) {
	p := richProto(t)
	p.OpsetImport[0].Domain = nil
	b, err := marshal.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := LoadBytes(b, "")
	if err != nil {
		t.Fatal(err)
	}
	m.SetOpset("", 22)
	got, err := Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(got, p); err != nil {
		t.Fatal(err)
	}
	if o := p.OpsetImport[0]; o.Domain != nil || o.GetVersion() != 22 || len(got) != len(b) {
		t.Errorf("opset is %v, file %d bytes, was %d", o, len(got), len(b))
	}
}

// TestTypedTensors reads each element type from the field that the standard
// gives it and writes it back so.
func TestTypedTensors(t *testing.T) {
	for d := tensor.Float32; d.Valid(); d++ {
		var x *tensor.Tensor
		switch {
		case d == tensor.String:
			x, _ = tensor.FromStrings([]int{3}, []string{"a", "", "\xff"})
		case d.IsComplex():
			x = tensor.FromComplexes(d, []int{3}, []complex128{1, 2i, -3})
		default:
			x = tensor.FromInts(d, []int{3}, []int64{1, 0, -1})
		}
		for _, layout := range []graph.Layout{graph.Raw, graph.Typed} {
			p := &onnxpb.TensorProto{}
			setTensor(p, x, layout)
			typed := layout == graph.Typed || d == tensor.String
			if typed == (p.RawData != nil) {
				t.Errorf("%v in layout %d: raw_data %v", d, layout, p.RawData)
			}
			b, err := marshal.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			v, _, err := LoadValue(b, graph.TensorKind)
			if err != nil {
				t.Errorf("%v: %v", d, err)
			} else if !v.(*tensor.Tensor).Equal(x) {
				t.Errorf("%v became %v", x.Bytes(), v.(*tensor.Tensor).Bytes())
			}
		}
	}
}

func TestValues(t *testing.T) {
	one := tensor.Vector[float32](1, 2)
	texts, _ := tensor.FromStrings([]int{2}, []string{"a", "b"})
	for _, c := range []struct {
		kind  graph.Kind
		value tensor.Value
	}{
		{graph.TensorKind, one},
		{graph.TensorKind, texts},
		{graph.TensorKind, tensor.New(tensor.Float32, 0, 3)},
		{graph.SequenceKind, &tensor.Sequence{Elem: tensor.Float32, Items: []tensor.Value{one, one}}},
		{graph.SequenceKind, &tensor.Sequence{}},
		{graph.SequenceKind, &tensor.Sequence{Items: []tensor.Value{&tensor.Sequence{Elem: tensor.String, Items: []tensor.Value{texts}}}}},
		{graph.OptionalKind, &tensor.Optional{}},
		{graph.OptionalKind, &tensor.Optional{Value: one}},
		{graph.OptionalKind, &tensor.Optional{Value: &tensor.Sequence{Elem: tensor.Float32, Items: []tensor.Value{one}}}},
		{graph.MapKind, &tensor.Map{Keys: tensor.Vector[int64](4, 5), Values: one}},
		{graph.MapKind, &tensor.Map{Keys: texts, Values: texts}},
		{graph.SparseKind, &tensor.Sparse{Shape: []int{4}, Values: one, Indices: tensor.Vector[int64](0, 3)}},
	} {
		b, err := MarshalValue(c.value, "n")
		if err != nil {
			t.Errorf("%v: %v", c.value, err)
			continue
		}
		v, name, err := LoadValue(b, c.kind)
		if err != nil || name != "n" {
			t.Errorf("%v: %q %v", c.value, name, err)
			continue
		}
		if again, err := MarshalValue(v, name); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%T changed by a round trip: %v", c.value, err)
		}
	}
	if _, err := MarshalValue(7, ""); err == nil {
		t.Error("an int has no file form")
	}
}

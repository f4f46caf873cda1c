package graph

import (
	"strconv"
	"strings"

	"onnxopt/onnx/dim"
)

// TextOptions choose how much Text writes.
type TextOptions struct {
	Full bool // all elements of all tensors
}

// Text is m in the ONNX text syntax (onnx/docs/Syntax.md), which Parse and
// onnx.parser read. Metadata and doc strings below the model, quantization
// annotations and unknown fields have no place in it. Tensors of more than 64
// elements are cut short with "..."; such a text does not parse.
//
// Where the syntax has no form, ours is an extension of it: attribute names
// and operators that are no identifiers are quoted, elements narrower than a
// byte are written one by one, and a sparse tensor is its values and then its
// indices, as in sparse_tensor(float[4]) w = {1,2} int64[2] {0,3}.
func Text(m *Model) string { return TextOptions{}.Text(m) }

// Text writes m; see the function Text.
func (o TextOptions) Text(m *Model) string {
	p := &printer{full: o.Full}
	p.model(m)
	return p.String()
}

// GraphText writes one graph; ParseGraph is the inverse for graphs that use no
// outer value.
func (o TextOptions) GraphText(g *Graph) string {
	p := &printer{full: o.Full}
	p.graph(g)
	return p.String()
}

type printer struct {
	strings.Builder
	full   bool
	indent int
}

func (p *printer) add(parts ...string) {
	for _, s := range parts {
		p.WriteString(s)
	}
}

func (p *printer) newline() {
	p.add("\n", strings.Repeat("  ", p.indent))
}

// list writes n parts with separators.
func (p *printer) list(n int, open, sep, end string, part func(i int)) {
	p.add(open)
	for i := range n {
		if i > 0 {
			p.add(sep)
		}
		part(i)
	}
	p.add(end)
}

func (p *printer) model(m *Model) {
	p.add("<ir_version: ", strconv.FormatInt(m.IRVersion, 10), ", opset_import: ")
	p.opsets(m.Opsets)
	for _, f := range []struct{ key, value string }{{"producer_name", m.Producer},
		{"producer_version", m.ProducerVersion}, {"domain", m.Domain}, {"doc_string", m.Doc}} {
		if f.value != "" {
			p.add(", ", f.key, ": ", quoted(f.value))
		}
	}
	if m.Version != 0 {
		p.add(", model_version: ", strconv.FormatInt(m.Version, 10))
	}
	if len(m.Metadata) > 0 {
		p.list(len(m.Metadata), ", metadata_props: [", ", ", "]", func(i int) {
			p.add(quoted(m.Metadata[i].Key), ": ", quoted(m.Metadata[i].Value))
		})
	}
	p.add(">\n")
	p.graph(m.Graph)
	for _, f := range m.Functions {
		p.add("\n")
		p.function(f)
	}
	p.add("\n")
}

func (p *printer) opsets(list []Opset) {
	p.list(len(list), "[", ", ", "]", func(i int) {
		p.add(quoted(list[i].Domain), ": ", strconv.FormatInt(list[i].Version, 10))
	})
}

func (p *printer) function(f *Function) {
	p.add("<domain: ", quoted(f.Domain))
	if f.Overload != "" {
		p.add(", overload: ", quoted(f.Overload))
	}
	p.add(", opset_import: ")
	p.opsets(f.Opsets)
	if f.Body.Doc != "" {
		p.add(", doc_string: ", quoted(f.Body.Doc))
	}
	p.add(">\n", identifier(f.Name), " ")
	if n := len(f.Attrs); n+len(f.Defaults) > 0 {
		p.list(n+len(f.Defaults), "<", ", ", "> ", func(i int) {
			if i < n {
				p.add(identifier(f.Attrs[i]))
			} else {
				p.attr(f.Defaults[i-n])
			}
		})
	}
	g := f.Body
	p.names(g.inputs)
	p.add(" => ")
	p.names(g.outputs)
	p.infos(g, nil)
	p.nodes(g)
}

func (p *printer) names(list []*Value) {
	p.list(len(list), "(", ", ", ")", func(i int) {
		if list[i] == nil {
			p.add(`""`)
		} else {
			p.add(identifier(list[i].Name))
		}
	})
}

func (p *printer) graph(g *Graph) {
	p.add(identifier(g.Name), " ")
	p.list(len(g.inputs), "(", ", ", ")", func(i int) { p.value(g.inputs[i]) })
	p.list(len(g.outputs), " => (", ", ", ")", func(i int) { p.value(g.OutputInfo(i)) })
	var stored []*Value
	for v := range g.Initializers() {
		stored = append(stored, v)
	}
	p.infos(g, stored)
	p.nodes(g)
}

// infos writes the initializers and the described values on a line of their
// own.
func (p *printer) infos(g *Graph, stored []*Value) {
	var described []*Value
	for _, v := range g.Declared {
		if v.Live() {
			described = append(described, v)
		}
	}
	if len(stored)+len(described) == 0 {
		p.add(" ")
		return
	}
	p.indent++
	p.newline()
	p.list(len(stored)+len(described), "<", ", ", ">", func(i int) {
		if i < len(stored) {
			p.data(stored[i].Data, stored[i].Name, " = ")
		} else {
			p.value(described[i-len(stored)])
		}
	})
	p.indent--
	p.newline()
}

func (p *printer) value(v *Value) {
	if v.Type.Known() {
		p.valueType(v.Type)
		p.add(" ")
	} else if isTypeWord(v.Name) {
		p.add(quoted(v.Name))
		return
	}
	p.add(identifier(v.Name))
}

// valueType writes a type: float is a scalar, float[] of unknown rank.
func (p *printer) valueType(t Type) {
	of := func() {
		if t.Of != nil {
			p.valueType(*t.Of)
		} else {
			p.add("opaque()")
		}
		p.add(")")
	}
	switch t.Kind {
	case TensorKind:
		p.tensorType(t)
	case SparseKind:
		p.add("sparse_tensor(")
		p.tensorType(t)
		p.add(")")
	case SequenceKind:
		p.add("seq(")
		of()
	case OptionalKind:
		p.add("optional(")
		of()
	case MapKind:
		p.add("map(", t.Elem.String(), ", ")
		of()
	default:
		p.add("opaque()")
	}
}

func (p *printer) tensorType(t Type) {
	p.add(t.Elem.String())
	switch {
	case !t.Ranked:
		p.add("[]")
	case len(t.Shape) > 0:
		p.list(len(t.Shape), "[", ",", "]", func(i int) { p.add(dimText(t.Shape[i])) })
	}
}

func dimText(d dim.Dim) string {
	if _, ok := d.Const(); ok || !d.Known() {
		return d.String()
	}
	return identifier(d.String())
}

func (p *printer) nodes(g *Graph) {
	p.add("{")
	p.indent++
	for n := range g.Nodes() {
		p.newline()
		p.node(n)
	}
	p.indent--
	p.newline()
	p.add("}")
}

func (p *printer) node(n *Node) {
	if n.Name != "" {
		p.add("[", identifier(n.Name), "] ")
	}
	p.list(len(n.out), "", ", ", " = ", func(i int) {
		if n.out[i] == nil {
			p.add(`""`)
		} else {
			p.add(identifier(n.out[i].Name))
		}
	})
	if n.Domain != "" {
		p.add(domainText(n.Domain), ".")
	}
	p.add(identifier(n.Op))
	if n.Overload != "" {
		p.add(":", identifier(n.Overload))
	}
	p.add(" ")
	subgraphs := false
	for range n.Subgraphs() {
		subgraphs = true
	}
	if len(n.Attrs) > 0 && !subgraphs {
		p.attrs(n.Attrs)
		p.add(" ")
	}
	p.names(n.in)
	if subgraphs {
		p.add(" ")
		p.attrs(n.Attrs)
	}
}

// domainText is identifiers joined by dots, or quoted.
func domainText(d string) string {
	for part := range strings.SplitSeq(d, ".") {
		if !isIdentifier(part) {
			return quoted(d)
		}
	}
	return d
}

func (p *printer) attrs(list []*Attr) {
	p.list(len(list), "<", ", ", ">", func(i int) { p.attr(list[i]) })
}

// attrKinds are the names of attribute types.
var attrKinds = [...]string{AttrFloat: "float", AttrInt: "int", AttrString: "string", AttrTensor: "tensor", AttrGraph: "graph",
	AttrFloats: "floats", AttrInts: "ints", AttrStrings: "strings", AttrTensors: "tensors", AttrGraphs: "graphs",
	AttrSparse: "sparse_tensor", AttrSparses: "sparse_tensors", AttrType: "type_proto", AttrTypes: "type_protos"}

// attr writes the kind where the value alone would not tell it.
func (p *printer) attr(a *Attr) {
	p.add(identifier(a.Name))
	if a.needsKind() && a.Kind != AttrUndefined {
		p.add(": ", attrKinds[a.Kind])
	}
	p.add(" = ")
	if a.Ref != "" {
		p.add("@", identifier(a.Ref))
		return
	}
	p.attrValue(a)
}

func (a *Attr) needsKind() bool {
	switch {
	case a.Ref != "":
		return true
	case a.Kind == AttrGraph:
		return !isIdentifier(a.G.Name) || isFloatWord(a.G.Name) || isTypeWord(a.G.Name)
	}
	return a.Kind >= AttrTensors && a.Kind <= AttrGraphs || a.Kind >= AttrSparse || a.Kind == AttrUndefined ||
		len(a.Floats)+len(a.Ints)+len(a.Strings) == 0 && a.Kind >= AttrFloats
}

func (p *printer) attrValue(a *Attr) {
	switch a.Kind {
	case AttrFloat:
		p.add(floatText(float64(a.F), 32))
	case AttrInt:
		p.add(strconv.FormatInt(a.I, 10))
	case AttrString:
		p.add(quoted(a.S))
	case AttrTensor, AttrSparse:
		p.data(a.T, a.T.Name, " ")
	case AttrGraph:
		p.indent++
		p.graph(a.G)
		p.indent--
	case AttrFloats:
		p.list(len(a.Floats), "[", ", ", "]", func(i int) { p.add(floatText(float64(a.Floats[i]), 32)) })
	case AttrInts:
		p.list(len(a.Ints), "[", ", ", "]", func(i int) { p.add(strconv.FormatInt(a.Ints[i], 10)) })
	case AttrStrings:
		p.list(len(a.Strings), "[", ", ", "]", func(i int) { p.add(quoted(a.Strings[i])) })
	case AttrTensors, AttrSparses:
		p.list(len(a.Tensors), "[", ", ", "]", func(i int) { p.data(a.Tensors[i], a.Tensors[i].Name, " ") })
	case AttrGraphs:
		p.indent++
		p.list(len(a.Graphs), "[", ", ", "]", func(i int) { p.graph(a.Graphs[i]) })
		p.indent--
	case AttrType:
		p.valueType(*a.Type)
	case AttrTypes:
		p.list(len(a.Types), "[", ", ", "]", func(i int) { p.valueType(*a.Types[i]) })
	}
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i], i == 0) {
			return false
		}
	}
	return s != ""
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

// identifier is s, in quotes if it is none.
func identifier(s string) string {
	if isIdentifier(s) {
		return s
	}
	return quoted(s)
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quoted(s string) string { return `"` + quoter.Replace(s) + `"` }

package graph

import (
	"strconv"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// Parse reads a model in the ONNX text syntax; see Text. Nodes may stand in
// any order. Errors give line and column.
func Parse(text string) (*Model, error) {
	p := &parser{lexer: lexer{s: text}}
	m := &Model{}
	if p.peek() == '<' {
		p.list('<', '>', func() { p.modelField(m) })
	}
	m.Graph = p.mainGraph()
	for p.err == nil && p.peek() != 0 {
		m.Functions = append(m.Functions, p.function())
	}
	if p.err != nil {
		return nil, p.err
	}
	return m, nil
}

// ParseGraph reads a graph in the ONNX text syntax.
func ParseGraph(text string) (*Graph, error) {
	p := &parser{lexer: lexer{s: text}}
	g := p.mainGraph()
	if p.err == nil && p.peek() != 0 {
		p.fail("more text after the graph")
	}
	if p.err != nil {
		return nil, p.err
	}
	return g, nil
}

// parser reads graphs in two steps, so that nodes can stand in any order: the
// text into graphText, and that into a Graph (parse_build.go).
type parser struct {
	lexer
}

// graphText is a graph with names instead of links.
type graphText struct {
	name    string
	inputs  []valueText
	outputs []valueText
	infos   []valueText // value_info and initializers
	nodes   []nodeText
}

type valueText struct {
	name string
	typ  Type
	data *Data
	pos  int
}

type nodeText struct {
	name, domain, op, overload string
	in, out                    []string
	attrs                      []attrText
	pos                        int
}

// attrText is an attribute whose graphs are not built yet.
type attrText struct {
	*Attr
	graphs []*graphText
	pos    int
}

func (p *parser) modelField(m *Model) {
	key := p.word()
	p.want(':')
	switch key {
	case "ir_version":
		m.IRVersion = p.int()
	case "opset_import":
		m.Opsets = p.opsets()
	case "producer_name":
		m.Producer = p.text()
	case "producer_version":
		m.ProducerVersion = p.text()
	case "domain":
		m.Domain = p.text()
	case "model_version":
		m.Version = p.int()
	case "doc_string":
		m.Doc = p.text()
	case "metadata_props":
		p.list('[', ']', func() {
			k := p.text()
			p.want(':')
			m.Metadata = append(m.Metadata, Prop{Key: k, Value: p.text()})
		})
	default:
		p.fail("unknown model field %q", key)
	}
}

func (p *parser) opsets() []Opset {
	var out []Opset
	p.list('[', ']', func() {
		d := p.text()
		p.want(':')
		out = append(out, Opset{Domain: d, Version: p.int()})
	})
	return out
}

func (p *parser) int() int64 {
	s, float := p.number()
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || float {
		p.fail("an integer expected")
	}
	return v
}

func (p *parser) function() *Function {
	f := &Function{Body: New("")}
	if p.peek() == '<' {
		p.list('<', '>', func() {
			key := p.word()
			p.want(':')
			switch key {
			case "domain":
				f.Domain = p.text()
			case "overload":
				f.Overload = p.text()
			case "opset_import":
				f.Opsets = p.opsets()
			case "doc_string":
				f.Body.Doc = p.text()
			default:
				p.fail("unknown function field %q", key)
			}
		})
	}
	f.Name = p.name()
	f.Body.Name = f.Name
	if p.peek() == '<' {
		p.list('<', '>', func() { p.formal(f) })
	}
	t := &graphText{name: f.Name}
	t.inputs = p.values('(', ')')
	p.arrow()
	t.outputs = p.values('(', ')')
	for _, list := range [][]valueText{t.inputs, t.outputs} {
		for _, v := range list {
			if v.typ.Known() {
				t.infos = append(t.infos, v)
			}
		}
	}
	if p.peek() == '<' {
		t.infos = append(t.infos, p.values('<', '>')...)
	}
	t.nodes = p.nodes()
	p.build(t, f.Body, nil, true)
	return f
}

// formal reads an attribute parameter of a function.
func (p *parser) formal(f *Function) {
	a := p.attr()
	if a.Attr == nil {
		return
	}
	if a.Kind == AttrUndefined && a.Ref == "" {
		f.Attrs = append(f.Attrs, a.Name)
		return
	}
	if len(a.graphs) > 0 {
		p.fail("a graph as the default of %s", a.Name)
	}
	f.Defaults = append(f.Defaults, a.Attr)
}

func (p *parser) arrow() {
	p.want('=')
	if p.err == nil && (p.pos >= len(p.s) || p.s[p.pos] != '>') {
		p.fail(`"=>" expected`)
		return
	}
	p.pos++
}

func (p *parser) mainGraph() *Graph {
	t := p.graph()
	if p.err != nil {
		return nil
	}
	g := New(t.name)
	p.build(t, g, nil, false)
	return g
}

func (p *parser) graph() *graphText {
	if !p.enter() {
		return nil
	}
	defer p.leave()
	t := &graphText{name: p.name()}
	t.inputs = p.values('(', ')')
	p.arrow()
	t.outputs = p.values('(', ')')
	if p.peek() == '<' {
		t.infos = p.values('<', '>')
	}
	t.nodes = p.nodes()
	return t
}

// values reads a list of values, each with an optional type and data.
func (p *parser) values(open, end byte) []valueText {
	var out []valueText
	p.list(open, end, func() {
		v := valueText{}
		if isTypeWord(p.peekWord()) {
			v.typ = p.valueType()
		}
		p.peek()
		v.pos = p.pos
		v.name = p.name()
		if p.eat('=') {
			v.data = p.data(v.typ)
		}
		out = append(out, v)
	})
	return out
}

func (p *parser) nodes() []nodeText {
	var out []nodeText
	p.want('{')
	for p.err == nil && !p.eat('}') {
		out = append(out, p.node())
	}
	return out
}

func (p *parser) node() nodeText {
	p.peek()
	n := nodeText{pos: p.pos}
	if p.eat('[') {
		if p.peek() != ']' {
			n.name = p.name()
		}
		p.want(']')
	}
	n.out = p.names('=')
	p.want('=')
	n.op = p.name()
	for p.eat('.') {
		if n.domain != "" {
			n.domain += "."
		}
		n.domain += n.op
		n.op = p.name()
	}
	if p.eat(':') {
		n.overload = p.name()
	}
	if p.peek() == '<' {
		p.list('<', '>', func() { n.attrs = append(n.attrs, p.attr()) })
	}
	p.want('(')
	n.in = p.names(')')
	p.want(')')
	if p.peek() == '<' && n.attrs == nil {
		p.list('<', '>', func() { n.attrs = append(n.attrs, p.attr()) })
	}
	return n
}

// names reads value names up to a closing byte. Nothing before a comma is an
// absent value, as "" is.
func (p *parser) names(end byte) []string {
	var out []string
	for p.err == nil && p.peek() != end {
		if p.eat(',') {
			out = append(out, "")
			continue
		}
		out = append(out, p.name())
		if !p.eat(',') {
			break
		}
	}
	return out
}

func (p *parser) valueType() Type {
	if !p.enter() {
		return Type{}
	}
	defer p.leave()
	word := p.word()
	if elem, ok := tensor.ParseDType(word); ok {
		return p.tensorType(TensorKind, elem)
	}
	t := Type{}
	p.want('(')
	switch word {
	case "seq", "optional":
		t.Kind = SequenceKind
		if word == "optional" {
			t.Kind = OptionalKind
		}
		of := p.valueType()
		t.Of = &of
	case "map":
		t.Kind, t.Elem = MapKind, p.elem()
		p.want(',')
		of := p.valueType()
		t.Of = &of
	case "sparse_tensor":
		t = p.tensorType(SparseKind, p.elem())
	case "opaque":
		t.Kind = OpaqueKind
		for p.err == nil && p.peek() != ')' {
			p.name()
			if !p.eat('.') && !p.eat(',') {
				break
			}
		}
	default:
		p.fail("unknown type %q", word)
	}
	p.want(')')
	return t
}

func (p *parser) elem() tensor.DType {
	word := p.word()
	e, ok := tensor.ParseDType(word)
	if !ok {
		p.fail("unknown element type %q", word)
	}
	return e
}

// tensorType reads the shape behind an element type: none is a scalar, [] is
// of unknown rank.
func (p *parser) tensorType(kind Kind, elem tensor.DType) Type {
	t := Type{Kind: kind, Elem: elem, Ranked: true}
	if !p.eat('[') {
		return t
	}
	if p.eat(']') {
		t.Ranked = false
		return t
	}
	for p.err == nil {
		t.Shape = append(t.Shape, p.dim())
		if !p.eat(',') {
			break
		}
	}
	p.want(']')
	return t
}

func (p *parser) dim() dim.Dim {
	c := p.peek()
	switch {
	case p.eat('?'):
		return dim.Unknown
	case c == '"' || isIdentifier(string(c)):
		return dim.Parse(p.name())
	}
	return dim.Of(p.int())
}

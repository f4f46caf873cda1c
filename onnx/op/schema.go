package op

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Schema is the signature of one version of an operator.
type Schema struct {
	In, Out []Param
	Attrs   []AttrSpec
	Types   map[string][]graph.Type // type variable to the allowed types
}

// Param is an input or output.
type Param struct {
	Name          string
	Type          string // a variable of Types or a type
	Optional      bool
	Variadic      bool
	Min           int  // fewest values of a variadic parameter
	Heterogeneous bool // the values of a variadic parameter may differ in type
	Allowed       []graph.Type
}

// AttrSpec is an attribute. Default is nil if there is none.
type AttrSpec struct {
	Name     string
	Kind     graph.AttrKind
	Required bool
	Default  *graph.Attr
}

var schemas sync.Map // *Version -> *Schema

// Parsed is the schema of the version.
func (v *Version) Parsed() (*Schema, error) {
	if s, ok := schemas.Load(v); ok {
		return s.(*Schema), nil
	}
	s, err := ParseSchema(v.Schema)
	if err == nil {
		schemas.Store(v, s)
	}
	return s, err
}

// ParseSchema reads the compact signature syntax
//
//	X:T W:T B?:T -> Y:T | strides:ints group:int=1 axis:int! | T: fp bfloat16
//
// Parameters are optional with ?, variadic with * (any number), + (one or
// more) or +N, and ~ where the values may differ in type. Attributes are
// required with !. A type variable lists element types, groups of them (all,
// num, int, uint, fp, complex, f8, i4, i2) and, around such lists, seq(),
// opt(), optseq() and sparse().
func ParseSchema(text string) (*Schema, error) {
	parts := strings.SplitN(text, "|", 2)
	ends := strings.SplitN(parts[0], "->", 2)
	if len(ends) != 2 {
		return nil, fmt.Errorf("no -> in %q", text)
	}
	s := &Schema{Types: map[string][]graph.Type{}}
	var err error
	if s.In, err = parseParams(ends[0]); err != nil {
		return nil, err
	}
	if s.Out, err = parseParams(ends[1]); err != nil {
		return s, err
	}
	rest := strings.Join(parts[1:], "")
	for {
		rest = strings.TrimLeft(rest, " ")
		if rest == "" || rest[0] == '|' {
			break
		}
		var a AttrSpec
		if a, rest, err = parseAttr(rest); err != nil {
			return nil, err
		}
		s.Attrs = append(s.Attrs, a)
	}
	for _, c := range strings.Split(strings.TrimPrefix(rest, "|"), ";") {
		name, list, ok := strings.Cut(c, ":")
		if !ok {
			continue
		}
		if s.Types[strings.TrimSpace(name)], err = parseTypes(list); err != nil {
			return nil, err
		}
	}
	return s, errors.Join(s.allow(s.In), s.allow(s.Out))
}

// allow sets the types that parameters may have.
func (s *Schema) allow(params []Param) error {
	for i := range params {
		p, ok := &params[i], false
		if p.Allowed, ok = s.Types[p.Type]; !ok {
			var err error
			if p.Allowed, err = parseTypes(p.Type); err != nil {
				return err
			}
		}
	}
	return nil
}

func parseParams(text string) ([]Param, error) {
	var out []Param
	for _, f := range strings.Fields(text) {
		name, typ, ok := strings.Cut(f, ":")
		if !ok {
			return nil, fmt.Errorf("parameter %q", f)
		}
		p := Param{Type: typ}
		name, p.Heterogeneous = strings.CutSuffix(name, "~")
		switch i := strings.IndexAny(name, "?*+"); {
		case i < 0:
			p.Name = name
		case name[i] == '?':
			p.Name, p.Optional = name[:i], true
		default:
			p.Name, p.Variadic = name[:i], true
			if name[i] == '+' {
				p.Min = 1
				if n, err := strconv.Atoi(name[i+1:]); err == nil {
					p.Min = n
				}
			}
		}
		out = append(out, p)
	}
	return out, nil
}

var attrKinds = map[string]graph.AttrKind{
	"float": graph.AttrFloat, "int": graph.AttrInt, "string": graph.AttrString, "tensor": graph.AttrTensor,
	"graph": graph.AttrGraph, "floats": graph.AttrFloats, "ints": graph.AttrInts, "strings": graph.AttrStrings,
	"tensors": graph.AttrTensors, "graphs": graph.AttrGraphs, "sparse": graph.AttrSparse,
	"sparses": graph.AttrSparses, "type": graph.AttrType, "types": graph.AttrTypes,
}

// parseAttr reads one attribute at the start of text.
func parseAttr(text string) (a AttrSpec, rest string, err error) {
	a.Name, text, _ = strings.Cut(text, ":")
	i := 0
	for i < len(text) && text[i] >= 'a' && text[i] <= 'z' {
		i++
	}
	kind, ok := attrKinds[text[:i]]
	if !ok {
		return a, "", fmt.Errorf("attribute %q has no type", a.Name)
	}
	a.Kind, text = kind, text[i:]
	if text, a.Required = strings.CutPrefix(text, "!"); a.Required || !strings.HasPrefix(text, "=") {
		return a, text, nil
	}
	a.Default, rest, err = parseDefault(a.Name, kind, text[1:])
	return a, rest, err
}

func parseDefault(name string, kind graph.AttrKind, text string) (*graph.Attr, string, error) {
	if strings.HasPrefix(text, `"`) {
		q, err := strconv.QuotedPrefix(text)
		if err != nil {
			return nil, "", fmt.Errorf("attribute %s: %w", name, err)
		}
		s, err := strconv.Unquote(q)
		return graph.Str(name, s), text[len(q):], err
	}
	end := strings.IndexAny(text, " |")
	if end < 0 {
		end = len(text)
	}
	word, rest := text[:end], text[end:]
	a := &graph.Attr{Name: name, Kind: kind}
	list := strings.FieldsFunc(strings.Trim(word, "[]"), func(r rune) bool { return r == ',' })
	for _, w := range list {
		f, err := strconv.ParseFloat(w, 32)
		n, _ := strconv.ParseInt(w, 10, 64)
		switch kind {
		case graph.AttrFloat:
			a.F = float32(f)
		case graph.AttrInt:
			a.I = n
		case graph.AttrFloats:
			a.Floats = append(a.Floats, float32(f))
		case graph.AttrInts:
			a.Ints = append(a.Ints, n)
		case graph.AttrStrings:
			s, _ := strconv.Unquote(w)
			a.Strings, err = append(a.Strings, s), nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return a, rest, nil
}

var typeGroups = map[string][]tensor.DType{
	"int":     {tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64},
	"uint":    {tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64},
	"fp":      {tensor.Float16, tensor.Float32, tensor.Float64},
	"complex": {tensor.Complex64, tensor.Complex128},
	"f8":      {tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ},
	"i4":      {tensor.Int4, tensor.Uint4},
	"i2":      {tensor.Int2, tensor.Uint2},
}

func elemTypes(word string) ([]tensor.DType, error) {
	switch word {
	case "num":
		return concat(typeGroups["int"], typeGroups["uint"], typeGroups["fp"]), nil
	case "all":
		num, _ := elemTypes("num")
		return concat(num, typeGroups["complex"], []tensor.DType{tensor.Bool, tensor.String}), nil
	}
	if g, ok := typeGroups[word]; ok {
		return g, nil
	}
	if d, ok := tensor.ParseDType(word); ok {
		return []tensor.DType{d}, nil
	}
	return nil, fmt.Errorf("unknown type %q", word)
}

func concat[T any](lists ...[]T) []T {
	var out []T
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

var typeWrappers = map[string]func(graph.Type) graph.Type{
	"seq(":    graph.SequenceOf,
	"opt(":    graph.OptionalOf,
	"optseq(": func(t graph.Type) graph.Type { return graph.OptionalOf(graph.SequenceOf(t)) },
	"sparse(": func(t graph.Type) graph.Type { t.Kind = graph.SparseKind; return t },
}

// parseTypes reads the allowed types of a variable.
func parseTypes(text string) ([]graph.Type, error) {
	var out []graph.Type
	wrap := func(t graph.Type) graph.Type { return t }
	text = strings.ReplaceAll(text, ",", ", ")
	for _, w := range strings.Fields(text) {
		if strings.HasPrefix(w, "map(") || strings.HasPrefix(w, "seq(map(") {
			key, _, _ := strings.Cut(w[strings.LastIndexByte(w, '(')+1:], ",")
			k, ok := tensor.ParseDType(key)
			if !ok {
				return nil, fmt.Errorf("map type %q", w)
			}
			m := graph.Type{Kind: graph.MapKind, Elem: k}
			if w[0] == 's' {
				m = graph.SequenceOf(m)
			}
			wrap = func(e graph.Type) graph.Type { return withMapValue(m, e) }
			continue
		}
		for prefix, f := range typeWrappers {
			if inner, ok := strings.CutPrefix(w, prefix); ok {
				wrap, w = f, inner
			}
		}
		bare := strings.TrimRight(w, ")")
		elems, err := elemTypes(bare)
		if err != nil {
			return nil, err
		}
		for _, e := range elems {
			out = append(out, wrap(graph.Unranked(e)))
		}
		if bare != w {
			wrap = func(t graph.Type) graph.Type { return t }
		}
	}
	return out, nil
}

func withMapValue(m, e graph.Type) graph.Type {
	if m.Kind == graph.SequenceKind {
		return graph.SequenceOf(withMapValue(*m.Of, e))
	}
	m.Of = &e
	return m
}

// Param is the parameter of slot i among params, nil if there is none.
func paramAt(params []Param, i int) *Param {
	switch {
	case i < len(params):
		return &params[i]
	case len(params) > 0 && params[len(params)-1].Variadic:
		return &params[len(params)-1]
	}
	return nil
}

// InParam is the parameter that input slot i fills, nil if there is none.
func (s *Schema) InParam(i int) *Param { return paramAt(s.In, i) }

// OutParam is the parameter that output slot i fills, nil if there is none.
func (s *Schema) OutParam(i int) *Param { return paramAt(s.Out, i) }

// Ties visits the inputs, of n in number, whose type a type variable ties to
// that of an earlier one: first is the earliest. Inputs of types that are not
// known are passed over.
func (s *Schema) Ties(n int, known func(i int) bool, visit func(first, i int)) {
	for i := range n {
		p := s.InParam(i)
		if p == nil || p.Heterogeneous || s.Types[p.Type] == nil || !known(i) {
			continue
		}
		for j := range i {
			if s.InParam(j).Type == p.Type && known(j) {
				visit(j, i)
				break
			}
		}
	}
}

// Attr is the declaration of an attribute, nil if there is none.
func (s *Schema) Attr(name string) *AttrSpec {
	for i := range s.Attrs {
		if s.Attrs[i].Name == name {
			return &s.Attrs[i]
		}
	}
	return nil
}

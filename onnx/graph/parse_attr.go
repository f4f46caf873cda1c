package graph

import (
	"strconv"

	"onnxopt/onnx/tensor"
)

// attr reads name, name = value, name: kind = value or name: kind = @ref. One
// without a value is for the parameters of functions.
func (p *parser) attr() attrText {
	p.peek()
	a := attrText{Attr: &Attr{}, pos: p.pos}
	a.Name = p.name()
	if p.eat(':') {
		word := p.word()
		for k, name := range attrKinds {
			if name == word && word != "" {
				a.Kind = AttrKind(k)
			}
		}
		if a.Kind == AttrUndefined {
			p.fail("unknown attribute type %q", word)
		}
	} else if c := p.peek(); c == ',' || c == '>' {
		return a
	}
	p.want('=')
	if p.peek() == '[' {
		p.attrList(&a)
	} else {
		p.attrSingle(&a)
	}
	return a
}

// singleKind is the kind of the elements of a list kind.
var singleKind = map[AttrKind]AttrKind{AttrFloats: AttrFloat, AttrInts: AttrInt, AttrStrings: AttrString,
	AttrTensors: AttrTensor, AttrGraphs: AttrGraph, AttrSparses: AttrSparse, AttrTypes: AttrType}

func (p *parser) attrList(a *attrText) {
	want := a.Kind
	p.list('[', ']', func() {
		e := attrText{Attr: &Attr{Kind: singleKind[want]}}
		p.attrSingle(&e)
		if e.Kind == AttrFloat && a.Kind == AttrInts && want == AttrUndefined { // 1, 2.5
			a.Kind = AttrFloats
			for _, i := range a.Ints {
				a.Floats = append(a.Floats, float32(i))
			}
			a.Ints = nil
		}
		if e.Kind == AttrInt && a.Kind == AttrFloats {
			e.Kind, e.F = AttrFloat, float32(e.I)
		}
		if a.Kind == AttrUndefined {
			for list, single := range singleKind {
				if single == e.Kind {
					a.Kind = list
				}
			}
		}
		if e.Ref != "" || singleKind[a.Kind] != e.Kind {
			p.fail("attribute %s: elements of different kinds", a.Name)
			return
		}
		a.add(e)
	})
	if a.Kind == AttrUndefined || singleKind[a.Kind] == AttrUndefined {
		p.fail("attribute %s: the type of the list is missing", a.Name)
	}
}

// add appends the value of e to a list attribute.
func (a *attrText) add(e attrText) {
	switch e.Kind {
	case AttrFloat:
		a.Floats = append(a.Floats, e.F)
	case AttrInt:
		a.Ints = append(a.Ints, e.I)
	case AttrString:
		a.Strings = append(a.Strings, e.S)
	case AttrTensor, AttrSparse:
		a.Tensors = append(a.Tensors, e.T)
	case AttrGraph:
		a.graphs = append(a.graphs, e.graphs...)
	case AttrType:
		a.Types = append(a.Types, e.Type)
	}
}

// attrSingle reads one value; a.Kind is what was declared, or undefined.
func (p *parser) attrSingle(a *attrText) {
	declared := a.Kind
	set := func(k AttrKind) { a.Kind = k }
	c, word := p.peek(), p.peekWord()
	switch {
	case p.eat('@'):
		a.Ref = p.name()
		return
	case declared == AttrGraph:
		a.graphs = []*graphText{p.graph()}
	case c == '"':
		a.S = p.text()
		set(AttrString)
	case isTypeWord(word):
		t := p.valueType()
		if c := p.peek(); c == '{' || c == '=' || c == '"' || p.peekWord() != "" {
			p.tensorValue(a, t)
			break
		}
		a.Type = &t
		set(AttrType)
	case word != "" && !isFloatWord(word):
		a.graphs = []*graphText{p.graph()}
		set(AttrGraph)
	default:
		p.attrNumber(a)
	}
	if declared != AttrUndefined && declared != a.Kind {
		p.fail("attribute %s: the value is of another type", a.Name)
	}
}

func (p *parser) tensorValue(a *attrText, t Type) {
	name := ""
	if c := p.peek(); c != '{' && c != '=' {
		name = p.name()
	}
	p.eat('=')
	a.T, a.Kind = p.data(t), AttrTensor
	if t.Kind == SparseKind {
		a.Kind = AttrSparse
	}
	if a.T != nil {
		a.T.Name = name
	}
}

func (p *parser) attrNumber(a *attrText) {
	s, float := p.number()
	if float || a.Kind == AttrFloat {
		f, err := strconv.ParseFloat(s, 32)
		if err != nil && !isRange(err) {
			p.fail("a number expected")
		}
		a.F, a.Kind = float32(f), AttrFloat
		return
	}
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.fail("%s is no 64-bit integer", s)
	}
	a.I, a.Kind = i, AttrInt
}

// isRange accepts a decimal beyond the largest float, which is infinity.
func isRange(err error) bool {
	e, ok := err.(*strconv.NumError)
	return ok && e.Err == strconv.ErrRange
}

// data reads the elements of a tensor of type t.
func (p *parser) data(t Type) *Data {
	d := &Data{}
	shape, static := t.Static()
	if !static || t.Kind != TensorKind && t.Kind != SparseKind {
		p.fail("a tensor needs a type with a constant shape")
		return d
	}
	if t.Kind == TensorKind {
		d.Tensor = p.elements(t.Elem, shape)
		return d
	}
	values := p.elements(t.Elem, nil)
	it := p.valueType()
	ishape, ok := it.Static()
	if p.err == nil && (!ok || it.Kind != TensorKind || it.Elem != tensor.Int64) {
		p.fail("the indices of a sparse tensor need a type like int64[2]")
	}
	indices := p.elements(it.Elem, ishape)
	d.Sparse = &tensor.Sparse{Shape: shape, Values: values, Indices: indices}
	return d
}

// elements reads {a,b,...}. A nil shape is a vector of any length, an empty
// one a scalar.
func (p *parser) elements(elem tensor.DType, shape []int) *tensor.Tensor {
	var ints []int64
	var floats []float64
	var texts []string
	fromFloats := elem == tensor.Float32 || elem == tensor.Float64 || elem.IsComplex()
	p.list('{', '}', func() {
		switch {
		case p.peek() == '.':
			p.fail("the elements were left out")
		case elem == tensor.String:
			texts = append(texts, p.text())
		default:
			s, float := p.number()
			if float && elem.IsFloat() {
				fromFloats = true
			}
			if !fromFloats {
				ints = append(ints, p.integer(s, elem))
			}
			f, err := strconv.ParseFloat(s, 64)
			if elem == tensor.Float32 || elem == tensor.Complex64 { // round once
				f, err = strconv.ParseFloat(s, 32)
			}
			if err != nil && !isRange(err) {
				p.fail("a number expected")
			}
			floats = append(floats, f)
		}
	})
	n := max(len(floats), len(texts))
	if elem.IsComplex() {
		if n%2 != 0 {
			p.fail("a complex tensor needs pairs of numbers")
		}
		n /= 2
	}
	if shape == nil {
		shape = []int{n}
	}
	if want, err := tensor.Count(shape); p.err == nil && (err != nil || want != n) {
		p.fail("shape %v with %d elements", shape, n)
	}
	if p.err != nil {
		return nil
	}
	switch {
	case elem == tensor.String:
		t, _ := tensor.FromStrings(shape, texts)
		return t
	case elem.IsComplex():
		c := make([]complex128, n)
		for i := range c {
			c[i] = complex(floats[2*i], floats[2*i+1])
		}
		return tensor.FromComplexes(elem, shape, c)
	case fromFloats || elem.IsFloat() && elem.Bits() == 6:
		return tensor.FromFloats(elem, shape, floats)
	case elem.IsFloat():
		bits := map[int]tensor.DType{16: tensor.Uint16, 8: tensor.Uint8, 4: tensor.Uint4}[elem.Bits()]
		return tensor.FromInts(bits, shape, ints).As(elem)
	}
	return tensor.FromInts(elem, shape, ints)
}

// integer reads an element that is, or is stored as, an integer.
func (p *parser) integer(s string, elem tensor.DType) int64 {
	if elem == tensor.Uint64 {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			p.fail("%s is no uint64", s)
		}
		return int64(v)
	}
	v, err := strconv.ParseInt(s, 10, 64)
	lo, hi := elem.IntRange()
	if err != nil || lo < hi && (v < lo || v > hi) {
		p.fail("%s is no %v", s, elem)
	}
	return v
}

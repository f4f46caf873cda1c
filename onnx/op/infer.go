package op

import (
	"fmt"
	"strconv"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Infer is the inference of one node's output types.
type Infer struct {
	Attrs
	In   []graph.Type // the zero Type: absent or unknown
	Out  []graph.Type // to be set
	Data [][]dim.Dim  // to be set: elements of outputs of rank 0 or 1, see InData

	// Const gives the value of input i when it is a known constant.
	Const func(i int) *tensor.Tensor
	// InData gives the elements of input i of rank 0 or 1: integers, conditions
	// as 0 and 1, floating-point numbers where they are whole; some are
	// possibly unknown. False when not even their number is known.
	InData func(i int) ([]dim.Dim, bool)
	// Graph infers a subgraph from its input types. Nil when subgraphs are not
	// visited.
	Graph func(g *graph.Graph, in []graph.Type) ([]graph.Type, error)
	// Symbol makes a new symbol for a size that depends on data. Sizes that a
	// rule leaves unknown get one anyway.
	Symbol func() dim.Dim
	// Must is told the size that an axis of input i has wherever the node does
	// not fail. Nil when nobody wants to know.
	Must func(i, axis int, size dim.Dim)
}

// Type is the type of input i.
func (f *Infer) Type(i int) graph.Type {
	if i < len(f.In) {
		return f.In[i]
	}
	return graph.Type{}
}

// Given reports that the node has input i.
func (f *Infer) Given(i int) bool { return f.Node.In(i) != nil }

// Shape is the dims of tensor input i; false when the rank is unknown.
func (f *Infer) Shape(i int) ([]dim.Dim, bool) {
	t := f.Type(i)
	return t.Shape, t.Ranked
}

// Set makes output i a tensor of the shape, with the element type that it has
// already.
func (f *Infer) Set(i int, shape ...dim.Dim) {
	if i < len(f.Out) {
		f.Out[i] = graph.TensorOf(f.Out[i].Elem, shape...)
	}
}

// SetElem makes output i a tensor of element type e, keeping its shape.
func (f *Infer) SetElem(i int, e tensor.DType) {
	if i < len(f.Out) {
		f.Out[i].Kind, f.Out[i].Elem = graph.TensorKind, e
	}
}

// SetType sets the whole type of output i.
func (f *Infer) SetType(i int, t graph.Type) {
	if i < len(f.Out) {
		f.Out[i] = t
	}
}

// SetData sets the elements of output i, see InData.
func (f *Infer) SetData(i int, d []dim.Dim) {
	if i < len(f.Data) {
		f.Data[i] = d
	}
}

// CarriesData is the element types whose elements are followed: those of shapes;
// conditions, as 0 and 1; and floating point, through which some exporters
// compute sizes, as far as they are whole.
func CarriesData(t tensor.DType) bool {
	return t == tensor.Int64 || t == tensor.Int32 || t == tensor.Bool || t == tensor.Float32 || t == tensor.Float64
}

// Ints is integer input i as constants; false unless all are known.
func (f *Infer) Ints(i int) ([]int, bool) {
	d, ok := f.InData(i)
	if !ok {
		return nil, false
	}
	out := make([]int, len(d))
	for k, x := range d {
		n, known := x.Const()
		if !known {
			return nil, false
		}
		out[k] = int(n)
	}
	return out, true
}

// unknownData is as many unknown elements as input i, of rank 1 and at most 64
// elements, has; false if that number is not known either.
func (f *Infer) unknownData(i int) ([]dim.Dim, bool) {
	s, ok := f.Shape(i)
	if !ok || len(s) != 1 {
		return nil, false
	}
	n, ok := s[0].Const()
	if !ok || n < 0 || n > 64 {
		return nil, false
	}
	return Unknowns(int(n)), true
}

// Unknowns is n sizes that nothing is known of.
func Unknowns(n int) []dim.Dim { return make([]dim.Dim, n) }

// InferTypes infers the output types of n. in and the data functions describe its
// inputs. Element types that the schema ties to inputs are set even where the
// rule knows no more. Panics of a rule come back as errors.
func (r Resolved) InferTypes(f *Infer) (err error) {
	n := f.Node
	f.Attrs.Since, f.Attrs.Schema = r.Since, r.Schema
	f.Out, f.Data = make([]graph.Type, len(n.Outputs())), make([][]dim.Dim, len(n.Outputs()))
	r.bindTypes(f)
	if r.Infer == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("node %s: %v", n.Title(), p)
		}
	}()
	if err := r.Infer(f); err != nil {
		return fmt.Errorf("node %s: %w", n.Title(), err)
	}
	return nil
}

// bindTypes sets the element types of outputs whose type variable an input
// binds or that have only one allowed type.
func (r Resolved) bindTypes(f *Infer) {
	bound := map[string]graph.Type{}
	for i, t := range f.In {
		if p := r.Schema.InParam(i); p != nil && t.Known() && !p.Heterogeneous {
			if _, ok := bound[p.Type]; !ok {
				bound[p.Type] = t
			}
		}
	}
	for i := range f.Out {
		p := r.Schema.OutParam(i)
		if p == nil || p.Heterogeneous || f.Node.Out(i) == nil {
			continue
		}
		if t, ok := bound[p.Type]; ok {
			f.Out[i] = unranked(t)
		} else if len(p.Allowed) == 1 {
			f.Out[i] = p.Allowed[0]
		}
	}
}

// unranked forgets shapes but not element types.
func unranked(t graph.Type) graph.Type {
	u := graph.Type{Kind: t.Kind, Elem: t.Elem}
	if t.Of != nil {
		of := unranked(*t.Of)
		u.Of = &of
	}
	return u
}

// Axis maps a possibly negative axis to [0, rank); false if it is outside.
func Axis(axis, rank int) (int, bool) {
	if axis < 0 {
		axis += rank
	}
	return axis, axis >= 0 && axis < rank
}

// BroadcastDims is the common shape under multidirectional broadcasting.
// Of two different sizes one must be 1; where that can only be one of them, the
// other is the result.
func BroadcastDims(shapes ...[]dim.Dim) ([]dim.Dim, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]dim.Dim, rank)
	for i := range out {
		out[i] = dim.Of(1)
	}
	for _, s := range shapes {
		for i, d := range s {
			o := &out[rank-len(s)+i]
			m, err := broadcastDim(*o, d)
			if err != nil {
				return nil, err
			}
			*o = m
		}
	}
	return out, nil
}

func broadcastDim(a, b dim.Dim) (dim.Dim, error) {
	an, aok := a.Const()
	bn, bok := b.Const()
	switch {
	case aok && an == 1 || a.Equal(b):
		return b, nil
	case bok && bn == 1:
		return a, nil
	case aok && bok:
		return a, fmt.Errorf("sizes %d and %d do not broadcast", an, bn)
	case aok: // b is 1 or the same
		return a, nil
	case bok:
		return b, nil
	case a.NeverOne() || b.CappedBelow(a):
		return a, nil
	case b.NeverOne() || a.CappedBelow(b):
		return b, nil
	}
	return dim.Unknown, nil
}

// match fails if the known shapes of inputs do not fit a pattern. That has for
// each input "-" or its sizes, as in "[N,C,*] [C]": a name is one size
// throughout, a number itself, ? any size, and * at the end any number of them.
func (f *Infer) match(pattern string) error {
	bound := map[string]dim.Dim{}
	for i, p := range strings.Fields(pattern) {
		s, ok := f.Shape(i)
		if !ok || p == "-" {
			continue
		}
		names := strings.FieldsFunc(strings.Trim(p, "[]"), func(r rune) bool { return r == ',' })
		if n := len(names); n > 0 && names[n-1] == "*" {
			names = names[:n-1]
			if len(s) > len(names) {
				s = s[:len(names)]
			}
		}
		if len(s) != len(names) {
			return fmt.Errorf("input %d has type %v, want sizes %s", i, f.Type(i), p)
		}
		for k, name := range names {
			want := bound[name]
			if n, err := strconv.Atoi(name); err == nil {
				want = dim.Of(int64(n))
			}
			if s[k].Conflict(want) {
				return fmt.Errorf("input %d has type %v, want sizes %s with %s = %v", i, f.Type(i), p, name, want)
			}
			if _, constant := s[k].Const(); constant && name != "?" {
				bound[name] = s[k]
			}
		}
	}
	return nil
}

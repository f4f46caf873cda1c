package op

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// generator makes random nodes in which sizes often agree.
type generator struct {
	*rand.Rand
	base  []int
	types map[string]graph.Type
	form  *form        // nil: any
	sizes map[byte]int // of the form's letters
}

func (g *generator) inputs(s *Schema) []tensor.Value {
	var in []tensor.Value
	for _, p := range s.In {
		n := 1
		switch {
		case p.Optional && (g.IntN(2) == 0 || g.form != nil && len(in) >= len(g.form.in)):
			in = append(in, nil)
			continue
		case p.Variadic && g.form != nil:
			n = max(len(g.form.in)-len(in), p.Min)
		case p.Variadic:
			n = p.Min + g.IntN(3)
		}
		for range n {
			in = append(in, g.value(g.typeOf(p), len(in)))
		}
	}
	for len(in) > 0 && in[len(in)-1] == nil {
		in = in[:len(in)-1]
	}
	return in
}

func drawShape(r *rand.Rand) []int {
	shape := make([]int, r.IntN(5))
	for i := range shape {
		shape[i] = []int{0, 1, 1, 2, 2, 3, 3, 4}[r.IntN(8)]
	}
	return shape
}

func (g *generator) typeOf(p Param) graph.Type {
	if t, ok := g.types[p.Type]; ok && !p.Heterogeneous {
		return t
	}
	return p.Allowed[g.IntN(len(p.Allowed))]
}

func (g *generator) value(t graph.Type, slot int) tensor.Value {
	if g.form != nil && slot < len(g.form.in) {
		return g.formed(t, slot)
	}
	switch t.Kind {
	case graph.TensorKind:
		return g.tensor(t.Elem, slot)
	case graph.SequenceKind:
		s := &tensor.Sequence{Elem: t.Of.Elem}
		for range g.IntN(4) {
			if t.Of.Kind == graph.TensorKind {
				s.Items = append(s.Items, g.tensor(t.Of.Elem, slot))
			}
		}
		return s
	case graph.OptionalKind:
		return &tensor.Optional{Value: g.value(*t.Of, slot)}
	case graph.MapKind:
		n := 1 + g.IntN(3)
		keys := tensor.FromFloats(tensor.Int64, []int{n}, []float64{0, 1, 2}[:n])
		if t.Elem == tensor.String {
			keys, _ = tensor.FromStrings([]int{n}, []string{"a", "b", "c"}[:n])
		}
		return &tensor.Map{Keys: keys, Values: g.filled(t.Of.Elem, []int{n})}
	}
	return nil
}

func (g *generator) tensor(t tensor.DType, slot int) *tensor.Tensor {
	shape := g.base
	if slot > 0 || g.IntN(8) == 0 {
		switch g.IntN(6) {
		case 0:
			shape = drawShape(g.Rand)
		case 1:
			shape = []int{1 + g.IntN(4)}
		case 2:
			shape = nil
		case 3:
			shape = []int{len(g.base)}
		}
	}
	return g.filled(t, shape)
}

// filled is a tensor of random values: small, as indices and axes are.
func (g *generator) filled(t tensor.DType, shape []int) *tensor.Tensor {
	n := volume(shape)
	switch {
	case t == tensor.String:
		words := make([]string, n)
		for i := range words {
			words[i] = []string{"", "a", "b c", "12"}[g.IntN(4)]
		}
		s, _ := tensor.FromStrings(shape, words)
		return s
	case t.IsComplex():
		return tensor.New(t, shape...)
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(g.IntN(6) - 1)
		if t.IsFloat() && g.IntN(2) == 0 {
			v[i] += 0.5
		}
	}
	return tensor.FromFloats(t, shape, v)
}

func (g *generator) node(r Resolved, in []tensor.Value) *graph.Node {
	gr := graph.New("random")
	inputs := make([]*graph.Value, len(in))
	for i, v := range in {
		if v != nil {
			inputs[i] = gr.AddInput(fmt.Sprint("x", i), graph.Type{})
		}
	}
	var outs []string
	for i, p := range r.Schema.Out {
		n := 1
		switch {
		case p.Variadic:
			n = max(p.Min, 1) + g.IntN(3)
		case p.Optional && g.IntN(2) == 0:
			n = 0
		}
		if n == 0 {
			break
		}
		for k := range n {
			outs = append(outs, fmt.Sprintf("y%d_%d", i, k))
		}
	}
	var attrs []*graph.Attr
	for _, a := range r.Schema.Attrs {
		if g.form != nil {
			if text, ok := g.form.attrs[a.Name]; ok {
				attrs = append(attrs, g.formedAttr(a, text))
				continue
			}
		}
		if a.Required || g.IntN(3) == 0 && (g.form == nil || g.IntN(3) == 0) {
			if x := g.attr(a); x != nil {
				attrs = append(attrs, x)
			}
		}
	}
	n := gr.NewNode(r.Name, inputs, outs, attrs...)
	n.Domain = r.Domain
	return n
}

var attrWords = []string{"nearest", "linear", "cubic", "constant", "reflect", "edge", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET",
	"add", "mul", "max", "sum", "mean", "none", "LEFT", "RIGHT", "tanh", "bidirectional", "ij,jk->ik", "...->..."}

func (g *generator) attr(a AttrSpec) *graph.Attr {
	switch a.Kind {
	case graph.AttrInt:
		return graph.Int(a.Name, int64(g.IntN(5)-1))
	case graph.AttrFloat:
		return graph.Float(a.Name, float32(g.IntN(5))/2)
	case graph.AttrString:
		return graph.Str(a.Name, attrWords[g.IntN(len(attrWords))])
	case graph.AttrInts, graph.AttrFloats:
		rank := len(g.base)
		n := max(0, []int{1, 2, rank, rank, rank - 2, rank - 2, 2 * rank, 2 * (rank - 2)}[g.IntN(8)])
		x := &graph.Attr{Name: a.Name, Kind: a.Kind}
		for i := range n {
			if a.Kind == graph.AttrFloats {
				x.Floats = append(x.Floats, float32(g.IntN(4))/2)
			} else if x.Ints = append(x.Ints, int64(g.IntN(4))); g.IntN(3) == 0 {
				x.Ints[i] = int64(i)
			}
		}
		return x
	case graph.AttrTensor:
		return graph.TensorAttr(a.Name, g.tensor(tensor.Float32, 1))
	case graph.AttrStrings:
		return graph.Strs(a.Name, slices.Repeat([]string{"a"}, g.IntN(3))...)
	}
	return nil
}

func sortedNames[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

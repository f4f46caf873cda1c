package op

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// TestRandomInputs evaluates every version of every operator without subgraphs on
// random types, shapes, values and attributes, half of them of the operator's
// form if forms has one. Many are refused, which must not panic; where the
// evaluation succeeds, the shape rule may not contradict it, however much it is
// told of the inputs. Every operator but those of noLegalInput must have been
// compared.
func TestRandomInputs(t *testing.T) {
	const tries = 100
	for _, part := range Table {
		for _, d := range part {
			if d.Flags&Control != 0 { // package runtime's matter
				continue
			}
			compared := 0
			for i := range d.Versions {
				v := &d.Versions[i]
				s, err := v.Parsed()
				if err != nil {
					t.Fatal(err)
				}
				r := rand.New(rand.NewPCG(uint64(v.Since), uint64(len(d.Name))))
				for range tries {
					compared += randomCase(t, r, Resolved{d, v.Since, s})
				}
			}
			name := qualified(d.Domain, d.Name)
			if why := noLegalInput[name]; why == "" && compared == 0 {
				t.Errorf("%s: no legal input was drawn", name)
			} else if why != "" && compared > 0 {
				t.Errorf("%s: legal inputs were drawn, although %s", name, why)
			}
		}
	}
}

// noLegalInput is the operators that random inputs cannot reach, and why.
var noLegalInput = map[string]string{
	"ai.onnx.preview.training.Gradient": "it differentiates the graph around it",
}

// randomCase draws a node and compares evaluation and inference: the number of
// times that both succeeded.
func randomCase(t *testing.T, r *rand.Rand, res Resolved) (compared int) {
	if res.Eval == nil {
		return 0
	}
	g := &generator{Rand: r, base: drawShape(r), types: map[string]graph.Type{}, sizes: map[byte]int{}}
	for _, name := range sortedNames(res.Schema.Types) {
		list := res.Schema.Types[name]
		g.types[name] = list[r.IntN(len(list))]
	}
	if list := forms[qualified(res.Domain, res.Name)]; len(list) > 0 && r.IntN(2) == 0 {
		g.form = parseForm(list[r.IntN(len(list))])
	}
	in := g.inputs(res.Schema)
	n := g.node(res, in)
	out, err := res.Run(n, &Env{MaxBytes: 1 << 18, Rand: r}, in)
	if err != nil {
		return 0
	}
	for _, k := range []knowledge{values, shapes, ranks, elems} {
		f := inferFrom(n, in, k)
		if res.InferTypes(f) != nil {
			continue // rules are stricter than evaluations
		}
		compared++
		for i, x := range out {
			if err := contradicts(f, i, x); err != nil {
				t.Errorf("%s: knowing %s: output %d: %v", describe(res, n, in), k, i, err)
			}
		}
	}
	return compared
}

// knowledge is what a shape rule is told of the inputs.
type knowledge string

const (
	values knowledge = "values"
	shapes knowledge = "shapes"
	ranks  knowledge = "ranks"
	elems  knowledge = "element types"
)

func inferFrom(n *graph.Node, in []tensor.Value, k knowledge) *Infer {
	symbols := 0
	f := &Infer{Attrs: Attrs{Node: n}}
	f.Symbol = func() dim.Dim { symbols++; return dim.Fresh(fmt.Sprint("s", symbols)) }
	f.Const = func(i int) *tensor.Tensor {
		if x, ok := valueAt(in, i).(*tensor.Tensor); ok && k == values {
			return x
		}
		return nil
	}
	f.InData = func(i int) ([]dim.Dim, bool) {
		x := f.Const(i)
		if x == nil || x.Rank() > 1 || !x.Type.IsInt() || !CarriesData(x.Type) {
			return nil, false
		}
		return graph.Dims(toInts(x.Ints())), true
	}
	for _, v := range in {
		f.In = append(f.In, knownType(v, k))
	}
	return f
}

func valueAt(in []tensor.Value, i int) tensor.Value {
	if i < len(in) {
		return in[i]
	}
	return nil
}

func toInts(v []int64) []int {
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = int(x)
	}
	return out
}

func knownType(v tensor.Value, k knowledge) graph.Type {
	switch x := v.(type) {
	case *tensor.Tensor:
		switch k {
		case ranks:
			return graph.TensorOf(x.Type, Unknowns(x.Rank())...)
		case elems:
			return graph.Unranked(x.Type)
		}
		return graph.TypeOf(x)
	case *tensor.Sequence:
		if len(x.Items) > 0 {
			return graph.SequenceOf(unranked(knownType(x.Items[0], k)))
		}
	case *tensor.Map:
		of := graph.Unranked(x.Values.Type)
		return graph.Type{Kind: graph.MapKind, Elem: x.Keys.Type, Of: &of}
	case *tensor.Optional:
		if x.Value != nil {
			return graph.OptionalOf(knownType(x.Value, k))
		}
	}
	return graph.Type{}
}

func contradicts(f *Infer, i int, v tensor.Value) error {
	if v == nil {
		return nil
	}
	if x, ok := v.(*tensor.Sequence); ok {
		for _, item := range x.Items {
			if of := f.Out[i].Of; of != nil && of.Conflict(knownType(item, shapes)) {
				return fmt.Errorf("inferred %v, item %v", f.Out[i], item)
			}
		}
	}
	if got := knownType(v, shapes); f.Out[i].Conflict(got) {
		return fmt.Errorf("inferred %v, computed %v", f.Out[i], got)
	}
	x, ok := v.(*tensor.Tensor)
	if f.Data[i] == nil || !ok || !x.Type.IsInt() {
		return nil
	}
	if len(f.Data[i]) != x.Len() {
		return fmt.Errorf("inferred elements %v, computed %v", f.Data[i], x)
	}
	for k, n := range x.Ints() {
		if f.Data[i][k].Conflict(dim.Of(n)) {
			return fmt.Errorf("inferred element %v, computed %d", f.Data[i][k], n)
		}
	}
	return nil
}

func describe(r Resolved, n *graph.Node, in []tensor.Value) string {
	text := fmt.Sprintf("%s version %d of", qualified(r.Domain, r.Name), r.Since)
	for _, v := range in {
		text += fmt.Sprintf(" %v", v)
		if x, ok := v.(*tensor.Tensor); ok && x.Type.IsInt() && x.Len() < 9 {
			text += fmt.Sprint(x.Ints())
		}
	}
	for _, a := range n.Attrs {
		text += fmt.Sprintf(" %s=%v%v%v%v", a.Name, a.I, a.Ints, a.S, a.F)
	}
	return text
}

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

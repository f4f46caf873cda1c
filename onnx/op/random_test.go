package op

import (
	"fmt"
	"math/rand/v2"
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
